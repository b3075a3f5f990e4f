"""
The rules that keep the package what it is, read from its source.

They hold for whatever modules there are: of the checkout, or of an installed
wheel when a copy of the tests runs outside of it.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

import ockam_twisted

NAME = "ockam_twisted"
PACKAGE = Path(ockam_twisted.__file__).resolve().parent
PLUGINS = PACKAGE.parent / "twisted" / "plugins"
TESTS = Path(__file__).resolve().parent

#: The longest module that is allowed, in lines.
MAX_LINES = 400

#: Module (dotted, without the package's name) to the reason why it may be longer.
LONG_MODULES: dict[str, str] = {
    "interfaces": "every seam stands in one file, in layer order: reading it is reading the architecture",
}

#: Who may import whom: each arrow also allows what lies below its foot.
#: Everything may import errors; everything but errors, wire and config may
#: import interfaces.
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "interfaces": {"errors"},
    "config": {"errors"},
    "clocks": {"interfaces"},
    "calendar": {"clocks", "interfaces"},
    "wire": {"errors"},
    "routing": {"wire", "interfaces"},
    "vault": {"wire", "interfaces"},
    "policies": {"wire", "interfaces"},
    "identity": {"wire", "vault", "interfaces"},
    "storage": {"identity", "interfaces"},
    "ops": {"interfaces"},
    "channels": {"routing", "identity", "policies"},
    "services": {"routing", "identity", "policies"},
    "authority": {"routing", "identity", "policies"},
    "transports": {"routing"},
    "portals": {"routing"},
    "relays": {"routing"},
    "processes": {"transports", "relays", "services", "ops"},
    "sessions": {"channels", "services", "authority", "transports", "portals", "relays"},
    "places": {"sessions", "config"},
    "membership": {"sessions", "storage"},
    "hosting": {"services"},
    "draining": {"transports", "portals", "relays"},
    "upkeep": {"hosting", "places", "clocks"},
    "snapshot": {"ops", "sessions"},
    "node": {"storage", "draining", "config", "calendar", "upkeep", "snapshot"},
    "memory": {"node"},
    "testing": {"node", "memory"},
    "checks": {"node", "membership"},
    "administration": {"checks"},
    "control": {"administration"},
    "offers": {"administration"},
    "attestation": {"checks"},
    "reception": {"attestation", "membership"},
    "web": {"portals"},
    "parts": {"reception", "offers", "web"},
    "assembly": {"parts", "control", "processes"},
    "offline": {"administration"},
    "demo": {"offline"},
    "tasks": {"offline", "control"},
    "configuration": {"checks"},
    "tap": {"assembly", "configuration"},
    "endpoints": {"assembly"},
    "manuals": {"configuration"},
    "visits": {"attestation"},
    "subcommands": {"tasks", "visits", "manuals", "configuration", "tap"},
    "command": {"demo", "subcommands"},
}

#: Protocol logic: bytes and time in, bytes and facts out.
PURE = (
    "wire",
    "identity",
    "policies",
    "routing.addresses",
    "routing.local_message",
    "routing.multiaddr",
    "channels.noise",
    "channels.cipher",
)

#: Where a program begins, and the reactor may be fetched, inside a function.
REACTOR_ROOMS = {"tap", "endpoints", "command", "subcommands"}

#: What plugin files may import at module scope, and inside their methods.
PLUGIN_IMPORTS = {
    "twisted.application.service.ServiceMaker",
    "twisted.plugin.IPlugin",
    "zope.interface.implementer",
    "typing.Any",
    "__future__.annotations",
}
PLUGIN_LAZY_IMPORTS = {"ockam_twisted.endpoints.parseServer", "ockam_twisted.endpoints.parseClient"}

#: Heavy things that whoever lists plugins must not pay for.
HEAVY = ("cryptography", "nacl", "OpenSSL", "twisted.web", "ockam_twisted.node")

#: Tests that have no source module of their own, relative to tests/.
NOT_MIRRORED = (
    "scenarios/",
    "interop/",
    "kafka/",
    "test_architecture.py",
    "test_packaging.py",
    "test_examples.py",
    "test_troubleshooting.py",
)

#: Ends of the names of tests that are about a whole folder.
OF_A_FOLDER = ("_machine.py", "_attacks.py")


class Import:
    """
    One imported name.

    @ivar name: the full dotted name: C{from a.b import c} is C{a.b.c}.
    @ivar line: the line it stands on.
    @ivar lazy: whether it is inside a function.
    @ivar typing: whether only the type checker reads it.
    """

    def __init__(self, name: str, line: int, lazy: bool, typing: bool) -> None:
        self.name = name
        self.line = line
        self.lazy = lazy
        self.typing = typing


def _guardsTyping(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def importsOf(tree: ast.AST, lazy: bool = False, typing: bool = False) -> Iterator[Import]:
    """
    All imports of a syntax tree, wherever they stand.
    """
    if isinstance(tree, ast.Import):
        for alias in tree.names:
            yield Import(alias.name, tree.lineno, lazy, typing)
    elif isinstance(tree, ast.ImportFrom):
        for alias in tree.names:
            yield Import("." * tree.level + f"{tree.module or ''}.{alias.name}", tree.lineno, lazy, typing)
    elif isinstance(tree, ast.If) and _guardsTyping(tree):
        for node in tree.body:
            yield from importsOf(node, lazy, True)
        for node in tree.orelse:
            yield from importsOf(node, lazy, typing)
    else:
        inside = lazy or isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.iter_child_nodes(tree):
            yield from importsOf(node, inside, typing)


def isWithin(name: str, *parents: str) -> bool:
    """
    Is a dotted name one of these, or something inside of one?
    """
    return any(name == parent or name.startswith(parent + ".") for parent in parents)


@cache
def parse(path: Path) -> ast.Module:
    """
    The syntax tree of a file.
    """
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def modules() -> dict[str, Path]:
    """
    Every module of the package, by its dotted name without the package's
    own: C{wire.cbor}, C{wire} for its C{__init__}, and the empty string for
    the package itself.
    """
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def pluginFiles() -> list[Path]:
    """
    The plugin files of this package: Twisted's own may lie beside them.
    """
    return sorted(PLUGINS.glob("ockam_*.py"))


def testModules() -> list[Path]:
    """
    Every module that holds tests.
    """
    return sorted(TESTS.rglob("test_*.py"))


def reachable(room: str) -> set[str]:
    """
    The rooms that a room may import: itself, and all below.
    """
    seen = {room}
    waiting = [room]
    while waiting:
        for below in ARROWS.get(waiting.pop(), ()):
            if below not in seen:
                seen.add(below)
                waiting.append(below)
    return seen


def runPython(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """
    Run a program in a fresh interpreter that finds the package and the
    plugins where this process found them.
    """
    start = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
    return subprocess.run(
        [sys.executable, "-c", start + program, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


class RulesTestCase(SynchronousTestCase):
    """
    Tests that collect what breaks a rule.
    """

    def assertClean(self, problems: list[str]) -> None:
        """
        Fail with all problems at once, one a line.
        """
        if problems:
            self.fail("\n" + "\n".join(problems))


class ArchitectureTests(RulesTestCase):
    """
    The rules for the package's source.
    """

    def test_everyModuleHasARoom(self) -> None:
        """
        Each module belongs to a room that the table of arrows knows.
        """
        found = modules()
        self.assertIn("errors", found)
        self.assertClean([f"{name}: no arrows for it" for name in found if name and name.split(".")[0] not in ARROWS])

    def test_arrows(self) -> None:
        """
        Imports point inwards only, for the type checker too; interfaces may
        name anything to the type checker.
        """
        problems = []
        for module, path in modules().items():
            room = module.split(".")[0]
            if room and room not in ARROWS:
                continue  # test_everyModuleHasARoom complains once
            allowed = reachable(room) if room else set()
            for imported in importsOf(parse(path)):
                if imported.name.startswith("."):
                    problems.append(f"{path}:{imported.line}: relative import {imported.name}")
                elif imported.name == f"{NAME}.__version__" or (module == "interfaces" and imported.typing):
                    continue
                elif isWithin(imported.name, NAME):
                    target = (imported.name.split(".") + [""])[1]
                    if target not in allowed:
                        problems.append(f"{path}:{imported.line}: {room or NAME} may not import {imported.name}")
        self.assertClean(problems)

    def test_packageImportsNothing(self) -> None:
        """
        The package itself can be imported for free.
        """
        imports = importsOf(parse(PACKAGE / "__init__.py"))
        self.assertClean([f"{NAME}:{imported.line}: imports {imported.name}" for imported in imports])

    def test_pure(self) -> None:
        """
        Protocol logic imports nothing of Twisted, not even lazily or for
        types.
        """
        problems = [
            f"{path}:{imported.line}: imports {imported.name}"
            for module, path in modules().items()
            if isWithin(module, *PURE)
            for imported in importsOf(parse(path))
            if isWithin(imported.name, "twisted")
        ]
        self.assertClean(problems)

    def test_reactorIsAParameter(self) -> None:
        """
        Nobody imports the global reactor at module scope, and only where
        programs begin is it imported at all; nobody chooses one.
        """
        paths = [(module.split(".")[0], path) for module, path in modules().items()]
        paths += [("tap", path) for path in pluginFiles()]
        problems = []
        for room, path in paths:
            for imported in importsOf(parse(path)):
                if isWithin(imported.name, "twisted.internet.reactor"):
                    if not imported.lazy or room not in REACTOR_ROOMS:
                        problems.append(f"{path}:{imported.line}: imports the global reactor")
                elif re.match(r"twisted\.internet\.\w+reactor\b", imported.name):
                    problems.append(f"{path}:{imported.line}: chooses a reactor")
        self.assertClean(problems)

    def test_moduleLength(self) -> None:
        """
        No module is longer than 400 lines unless the table says why, and the
        table names no module that is short or gone.
        """
        lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in modules().items()}
        long = {module: lines for module, lines in lengths.items() if lines > MAX_LINES}
        problems = [f"{module}: {lines} lines" for module, lines in long.items() if module not in LONG_MODULES]
        problems += [f"{module}: needs no exception any more" for module in LONG_MODULES if module not in long]
        self.assertClean(problems)

    def test_moduleDocstrings(self) -> None:
        """
        Each module of the package, each plugin and each test module says
        what it is.
        """
        paths = [*modules().values(), *pluginFiles(), *testModules()]
        self.assertClean([f"{path}: no docstring" for path in paths if not ast.get_docstring(parse(path))])


class MirrorTests(RulesTestCase):
    """
    The rules for the tests.
    """

    def test_mirror(self) -> None:
        """
        Each test module has the place and name of the source module it
        tests.
        """
        problems = []
        for path in testModules():
            relative = path.relative_to(TESTS)
            if relative.as_posix().startswith(NOT_MIRRORED) or relative.name.endswith(OF_A_FOLDER):
                continue
            source = PACKAGE / relative.with_name(relative.name.removeprefix("test_"))
            if not source.exists() and not (source.with_suffix("") / "__init__.py").exists():
                problems.append(f"{relative.as_posix()}: no {NAME}/{source.relative_to(PACKAGE).as_posix()}")
        self.assertClean(problems)

    def test_docstrings(self) -> None:
        """
        Each test method states its intent.
        """
        problems = []
        for path in testModules():
            for node in ast.walk(parse(path)):
                if isinstance(node, ast.ClassDef):
                    for method in node.body:
                        if (
                            isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
                            and method.name.startswith("test")
                            and not ast.get_docstring(method)
                        ):
                            problems.append(f"{path}:{method.lineno}: {node.name}.{method.name}")
        self.assertClean(problems)


class SecurityPageTests(RulesTestCase):
    """
    C{docs/security.rst} points at tests.
    """

    def test_pointsAtTests(self) -> None:
        """
        Every file, class and test that it names is there.
        """
        page = TESTS.parent / "docs" / "security.rst"
        if not page.exists():
            raise SkipTest("NO DOCUMENTS HERE: they are in the source tree")
        names = re.findall(r"``([A-Za-z_/]+(?:\.py)?)``", page.read_text("utf-8"))
        source = "\n".join(path.read_text("utf-8") for path in testModules())
        files = [name for name in names if name.endswith(".py")]
        self.assertGreater(len(files), 10)
        problems = [f"{name}: no such file" for name in files if not (TESTS / name).exists()]
        tests = [name for name in names if re.fullmatch(r"test_[A-Za-z]+|[A-Za-z]+Tests", name)]
        problems += [f"{name}: no such test" for name in tests if not re.search(rf"(def|class) {name}\b", source)]
        self.assertClean(problems)


class PluginTests(RulesTestCase):
    """
    The rules for the files in C{twisted/plugins}, which other people's
    programs import.
    """

    def test_present(self) -> None:
        """
        Both plugin files are there, and no C{__init__.py} of ours hides
        Twisted's.
        """
        self.assertEqual(
            [path.name for path in pluginFiles()],
            ["ockam_endpoints_plugin.py", "ockam_plugin.py"],
        )
        for folder in (PLUGINS, PLUGINS.parent):
            init = folder / "__init__.py"
            # Installed, Twisted's own is there.
            if init.exists():
                self.assertIn("Twisted Matrix Laboratories", init.read_text(encoding="utf-8"))

    def test_imports(self) -> None:
        """
        Plugin files import interfaces and the service maker, and what is
        behind them only when it is asked for.
        """
        problems = []
        for path in pluginFiles():
            for imported in importsOf(parse(path)):
                allowed = (
                    imported.name in PLUGIN_LAZY_IMPORTS
                    if imported.lazy
                    else imported.name in PLUGIN_IMPORTS or isWithin(imported.name, "twisted.internet.interfaces")
                )
                if not allowed:
                    problems.append(f"{path}:{imported.line}: imports {imported.name}")
        self.assertClean(problems)


class ImportTests(SynchronousTestCase):
    """
    What really happens on import, each time in a fresh interpreter.
    """

    def test_cheapToList(self) -> None:
        """
        Importing the package or a plugin file loads no cryptography, no web
        server and no node.
        """
        program = """
import importlib
importlib.import_module(sys.argv[1])
print("\\n".join(sys.modules))
"""
        for name in (NAME, "twisted.plugins.ockam_plugin", "twisted.plugins.ockam_endpoints_plugin"):
            result = runPython(program, name)
            self.assertEqual(result.returncode, 0, result.stderr)
            loaded = result.stdout.split()
            self.assertIn(name, loaded)
            self.assertEqual([module for module in loaded if isWithin(module, *HEAVY)], [], name)

    def test_noReactorOnImport(self) -> None:
        """
        Every module can be imported where importing the global reactor is an
        error.
        """
        program = """
import importlib
import traceback

class Poison:
    def find_spec(self, name, path=None, target=None):
        if name == "twisted.internet.reactor":
            raise AssertionError("the global reactor was imported")
        return None

sys.meta_path.insert(0, Poison())
bad = 0
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException:
        bad += 1
        print(f"----- {name}")
        traceback.print_exc(limit=-3, file=sys.stdout)
assert "twisted.internet.reactor" not in sys.modules
sys.exit(bool(bad))
"""
        names = [f"{NAME}.{module}".rstrip(".") for module in modules()]
        names += [f"twisted.plugins.{path.stem}" for path in pluginFiles()]
        result = runPython(program, *names)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
