"""
What we ship: the sdist and the wheel are built from a copy of the checkout,
looked into, and the wheel is installed, run and uninstalled.

Nothing is fetched: the environment that the wheel goes into sees the
packages of the one that runs the tests.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import twisted
from twisted.trial.unittest import SkipTest, SynchronousTestCase

TREE = Path(__file__).resolve().parent.parent
COMMANDS = ("ockam-relay", "ockam-outlet", "ockam-inlet")
PLUGIN_FILES = ["twisted/plugins/ockam_endpoints_plugin.py", "twisted/plugins/ockam_plugin.py"]

#: What is not linked into the fresh environment: this package, should it be
#: installed, and what a fresh environment has itself.
SKIPPED = ("ockam_", "pip-", "setuptools", "__pycache__", "dropin.cache")

#: What a checkout without git leaves out of the copy.
IGNORED = shutil.ignore_patterns(
    "__pycache__", "*.pyc", "_trial_temp*", "dropin.cache", "*.egg-info", "build", "dist", ".*cache", ".tox",
    ".venv*", "venv*", ".hypothesis", ".git", "target", "PKG-INFO",
)  # fmt: skip


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """
    Run a program as a newcomer would, with nothing of this process's Python
    path.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "COLUMNS": "200"}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def runWell(*command: str | Path, cwd: Path) -> str:
    """
    L{run}, and give back standard output.

    @raise AssertionError: when the program says that it failed.
    """
    result = run(*command, cwd=cwd)
    if result.returncode != 0:
        said = (result.stdout + result.stderr)[-4000:]
        raise AssertionError(f"{' '.join(map(str, command))} ended with status {result.returncode}:\n{said}")
    return result.stdout


def copyTree(target: Path) -> list[str]:
    """
    Copy what belongs to the project: what git tracks or would track.

    @return: the files' names, relative to the top.
    """
    if (TREE / ".git").exists() and shutil.which("git"):
        git = ("git", "-c", f"safe.directory={TREE}")
        listed = runWell(*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=TREE)
        for name in filter(None, listed.split("\0")):
            if (TREE / name).is_file():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(TREE / name, target / name)
    else:
        shutil.copytree(TREE, target, ignore=IGNORED, dirs_exist_ok=True)
    return sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())


def isolation() -> list[str]:
    """
    Without isolation nothing is fetched, if what builds is here and new enough.
    """
    try:
        here = int(version("setuptools").split(".")[0]) >= 77
    except PackageNotFoundError:
        here = False
    return ["--no-isolation"] if here else []


class Build:
    """
    The sdist, and the wheel made from it.

    @ivar files: the names of the files in the checkout.
    @ivar sdist: the names of the files in the sdist.
    @ivar wheel: the names of the files in the wheel.
    @ivar wheelPath: where the wheel is.
    """

    def __init__(self, folder: Path) -> None:
        source, output = folder / "source", folder / "dist"
        source.mkdir(parents=True)
        self.files = copyTree(source)
        runWell(sys.executable, "-m", "build", *isolation(), "--outdir", output, source, cwd=folder)
        (self.wheelPath,) = output.glob("*.whl")
        (sdistPath,) = output.glob("*.tar.gz")
        with zipfile.ZipFile(self.wheelPath) as wheel:
            self.wheel = sorted(name for name in wheel.namelist() if not name.endswith("/"))
        with tarfile.open(sdistPath) as sdist:
            self.sdist = sorted(member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile())


class Environment:
    """
    A fresh environment in which this package's dependencies are installed
    and this package is not.

    Twisted's own folder is a real one with links inside, so that our plugin
    files come to lie beside Twisted's, as they do for everyone.

    @ivar folder: an empty folder to run programs in.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "empty"
        self.folder.mkdir(parents=True)
        venv.create(folder / "venv", with_pip=True, symlinks=os.name != "nt")
        paths = sysconfig.get_paths("venv", vars={"base": str(folder / "venv"), "platbase": str(folder / "venv")})
        self.scripts = Path(paths["scripts"])
        self.python = self.scripts / "python"
        self.packages = Path(paths["purelib"])
        here = sysconfig.get_paths()
        for site in {Path(here["purelib"]), Path(here["platlib"]), Path(twisted.__file__).parent.parent}:
            self._link(site, self.packages)

    def _link(self, source: Path, target: Path) -> None:
        target.mkdir(exist_ok=True)
        for path in source.iterdir():
            name = path.name
            if name.startswith(("ockam_", "pip-", "setuptools", "__pycache__", "dropin.cache")) or name.endswith(
                ".pth"
            ):
                continue
            if path in (Path(twisted.__file__).parent, Path(twisted.__file__).parent / "plugins"):
                self._link(path, target / name)
            elif not (target / name).exists():
                (target / name).symlink_to(path)

    def pip(self, *arguments: str | Path) -> str:
        """
        Run this environment's pip, which must not fetch anything.
        """
        return runWell(self.python, "-m", "pip", *arguments, cwd=self.folder)

    def twist(self, *arguments: str) -> str:
        """
        Run C{twist}, and give back what it printed.
        """
        result = run(self.python, "-m", "twisted", *arguments, cwd=self.folder)
        if result.returncode != 0 or "Traceback" in result.stderr:
            raise AssertionError(f"twist {' '.join(arguments)}: {result.returncode}\n{result.stdout}{result.stderr}")
        return result.stdout

    def installed(self) -> set[str]:
        """
        The names of all files here that are not links, without what Python
        and Twisted's plugin system keep for speed.
        """
        return {
            path.relative_to(self.packages.parent.parent.parent).as_posix()
            for root in (self.packages, self.scripts)
            for path in root.rglob("*")
            if path.is_file()
            and not path.is_symlink()
            and "__pycache__" not in path.parts
            and path.name != "dropin.cache"
        }


@cache
def workingFolder() -> Path:
    """
    A fresh folder below the one that trial works in, which it removes at
    its next run.  Absolute: programs are run in other folders.
    """
    folder = Path(f"packaging-{os.getpid()}").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


@cache
def build() -> Build | str:
    """
    Build once for all tests.

    @return: the build, or what went wrong.
    """
    try:
        return Build(workingFolder() / "build")
    except AssertionError as error:
        return str(error)


class PackagingTests(SynchronousTestCase):
    """
    The sdist and the wheel.
    """

    def setUp(self) -> None:
        """
        Build, if no test did so before.
        """
        if not (TREE / "setup.cfg").exists():
            raise SkipTest("these tests are not in a checkout")
        built = build()
        if isinstance(built, str):
            self.fail(built)
        self.built = built

    def assertSame(self, found: set[str], expected: set[str]) -> None:
        """
        Fail unless two sets of names are the same, and say how they differ.
        """
        missing, stray = sorted(expected - found), sorted(found - expected)
        if missing or stray:
            self.fail(f"missing: {missing}\nstray: {stray}")

    def test_sdist(self) -> None:
        """
        The sdist holds the whole checkout and nothing else but the metadata.
        """
        needed = {"README.rst", "LICENSE", "NEWS.rst", "setup.cfg", "pyproject.toml", "tox.ini", ".ci/run"}
        shipped = {name for name in self.built.sdist if name != "PKG-INFO" and ".egg-info/" not in name}
        self.assertSame(shipped, needed | set(self.built.files))

    def test_wheel(self) -> None:
        """
        The wheel holds each module of the package, the type marker, the page
        that a node shows, the two plugin files, manual pages, completions, units, and the metadata with the
        licence: no tests, and no C{__init__.py} that would hide Twisted's.
        """
        data = {name.partition(".data/data/")[2] for name in self.built.wheel if ".data/" in name}
        units = {f"share/doc/ockam_twisted/{name}" for name in self.built.files if name.endswith(".service")}
        self.assertIn("share/doc/ockam_twisted/systemd/ockam-relay.service", units)
        self.assertSame(data, units | {name for name in self.built.files if name.startswith("share/")})
        self.assertIn("share/man/man1/ockam-relay.1", data)
        code = {name for name in self.built.wheel if ".dist-info/" not in name and ".data/" not in name}
        source = {name for name in self.built.files if name.startswith("ockam_twisted/") and name.endswith(".py")}
        page = {name for name in self.built.files if name.startswith("ockam_twisted/ops/page/")}
        self.assertIn("ockam_twisted/ops/page/index.html", page)
        self.assertSame(code, source | page | {"ockam_twisted/py.typed", *PLUGIN_FILES})
        metadata = {name.partition(".dist-info/")[2] for name in self.built.wheel if ".dist-info/" in name}
        self.assertIn("licenses/LICENSE", metadata)
        self.assertLessEqual({"METADATA", "RECORD", "WHEEL", "entry_points.txt"}, metadata)

    def test_metadata(self) -> None:
        """
        The index is told the version, the licence, the README and what the
        package builds on.
        """
        with zipfile.ZipFile(self.built.wheelPath) as wheel:
            (name,) = (name for name in self.built.wheel if name.endswith(".dist-info/METADATA"))
            metadata = wheel.read(name).decode()
        head, _, description = metadata.partition("\n\n")
        lines = head.splitlines()
        versionLine = (TREE / "ockam_twisted" / "__init__.py").read_text().rpartition('__version__ = "')[2]
        self.assertIn("Version: " + versionLine.partition('"')[0], lines)
        self.assertIn("Requires-Python: >=3.11", lines)
        self.assertIn("Classifier: Framework :: Twisted", lines)
        self.assertIn("Requires-Dist: twisted[tls]>=26.4", lines)
        self.assertTrue("License: Apache-2.0" in lines or "License-Expression: Apache-2.0" in lines, head)
        readme = TREE / "README.rst"
        self.assertTrue(readme.exists(), "no README.rst")
        self.assertEqual(description.strip(), readme.read_text(encoding="utf-8").strip())

    def test_install(self) -> None:
        """
        In a fresh environment and an empty folder the installed wheel has
        all that it requires, C{twist} offers the three commands, each
        explains its options, C{ockam-twisted} answers, and after the
        uninstallation nothing is left.
        """
        environment = Environment(workingFolder() / "install")
        self.assertNotIn("ockam-", environment.twist("--help"))
        before = environment.installed()

        environment.pip("install", "--no-index", self.built.wheelPath)
        self.assertIn("No broken requirements", environment.pip("check"))
        added = environment.installed() - before
        for name in PLUGIN_FILES:
            self.assertTrue(any(path.endswith("/site-packages/" + name) for path in added), sorted(added))

        offered = environment.twist("--help")
        for command in COMMANDS:
            self.assertIn(f" {command} ", offered)
        problems = []
        for command in COMMANDS:
            try:
                self.assertIn("--", environment.twist(command, "--help"))
            except AssertionError as error:
                problems.append(str(error))
        try:
            said = runWell(environment.scripts / "ockam-twisted", "--help", cwd=environment.folder)
            self.assertIn("ockam-twisted", said)
        except AssertionError as error:
            problems.append(str(error))
        self.assertEqual(list(environment.folder.iterdir()), [], "asking for help left something behind")

        environment.pip("uninstall", "--yes", "ockam_twisted")
        self.assertSame(environment.installed(), before)
        self.assertNotIn("ockam-", environment.twist("--help"))
        if problems:
            self.fail("\n".join(problems))
