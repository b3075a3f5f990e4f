"""
Build the documentation: C{python docs/build.py FOLDER}.

The pages by Sphinx come into FOLDER, the reference of the API by pydoctor into
FOLDER/api.  A warning of either ends the build with status 1.  Nothing is
fetched.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from zope.interface.interface import InterfaceClass

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "ockam_twisted"

#: Where the documentation of other people's names is.
PYTHON, TWISTED = "https://docs.python.org/3", "https://docs.twisted.org/en/stable/api"


#: It is no program that C{python -m} finds.
PYDOCTOR = "import sys, pydoctor.driver; sys.exit(pydoctor.driver.main())"


def imported() -> Iterator[tuple[str, str]]:
    """
    The names of other packages that the source imports, as (module, name).
    """
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                if node.module.partition(".")[0] not in ("ockam_twisted", "__future__"):
                    yield from ((node.module, alias.name) for alias in node.names)


def links() -> Iterator[tuple[str, str, str]]:
    """
    Where what others have named is explained, as (site, name, place):
    C{L{None}} and C{L{IDelayedCall}} are links, too.
    """
    for name in ("None", "True", "False"):
        yield PYTHON, name, f"library/constants.html#{name}"
    for name, thing in vars(builtins).items():
        if name.isalpha() and name not in ("None", "True", "False"):
            page = "exceptions" if isinstance(thing, type) and issubclass(thing, BaseException) else "functions"
            yield PYTHON, name, f"library/{page}.html#{name}"
    for module, name in sorted(set(imported())):
        if module.partition(".")[0] in sys.stdlib_module_names:
            yield PYTHON, f"{module}.{name}", f"library/{module}.html#{module}.{name}"
        elif module.startswith("twisted."):
            thing = getattr(importlib.import_module(module), name, None)
            hasPage = inspect.ismodule(thing) or inspect.isclass(thing) or isinstance(thing, InterfaceClass)
            yield TWISTED, f"{module}.{name}", f"{module}.{name}.html" if hasPage else f"{module}.html#{name}"


def inventories(folder: Path) -> Iterator[str]:
    """
    Write them into a folder as Sphinx does, one file for each site.

    @return: What pydoctor is given of each.
    """
    head = "# Sphinx inventory version 2\n# Project: others\n# Version: 0\n"
    head += "# The remainder of this file is compressed using zlib.\n"
    for number, site in enumerate((PYTHON, TWISTED)):
        lines = "".join(f"{name} py:class 1 {place} -\n" for base, name, place in links() if base == site)
        path = folder / f"{number}.inv"
        path.write_bytes(head.encode() + zlib.compress(lines.encode()))
        yield f"--intersphinx-file={path}::{site}"


def api(folder: Path) -> int:
    """
    The reference of the API.

    @return: The exit status.
    """
    with tempfile.TemporaryDirectory() as temporary:
        return subprocess.run(
            [
                sys.executable, "-c", PYDOCTOR, "--quiet", "--make-html", "--warnings-as-errors",
                "--project-name=ockam_twisted", "--project-url=../index.html", "--docformat=epytext",
                "--cls-member-order=source", f"--project-base-dir={ROOT}", "--disable-intersphinx-cache",
                f"--html-output={folder}", *inventories(Path(temporary)), str(PACKAGE),
            ]
        ).returncode  # fmt: skip


def pages(folder: Path) -> int:
    """
    The pages.

    @return: The exit status.
    """
    with tempfile.TemporaryDirectory() as doctrees:
        command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", doctrees]
        return subprocess.run([*command, str(ROOT / "docs"), str(folder)]).returncode


def main() -> int:
    """
    Build both.

    @return: The exit status.
    """
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build" / "docs"
    folder.mkdir(parents=True, exist_ok=True)
    parts = sys.argv[2:] or ["pages", "api"]
    bad = 0
    if "pages" in parts:
        bad |= pages(folder)
    if "api" in parts:
        bad |= api(folder / "api")
    print(f"The documentation is in {folder}." if not bad else "The documentation has mistakes.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
