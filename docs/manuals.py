"""
C{python docs/manuals.py}: write the manual pages and completions in C{share},
from the options; with C{--check}, say which of them are not as they would be
written.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from ockam_twisted.command import Options  # noqa: E402
from ockam_twisted.manuals.outline import plugins, program  # noqa: E402
from ockam_twisted.manuals.pages import manualPages  # noqa: E402
from ockam_twisted.manuals.settings import settingsPage  # noqa: E402
from ockam_twisted.manuals.shells import PLACES, SHELLS  # noqa: E402


def files() -> dict[str, str]:
    """
    Everything that is installed below C{share}.

    @return: Path to content.
    """
    both = (plugins(), program(Options))
    found = {f"man/man1/{name}": text for name, text in manualPages(*both).items()}
    found["man/man5/ockam-node.yaml.5"] = settingsPage()
    return found | {PLACES[shell]: write(*both) for shell, write in SHELLS.items()}


def read(path: Path) -> str:
    """
    What is in a file; nothing if there is none.
    """
    return path.read_text("utf-8") if path.exists() else ""


def main(arguments: list[str]) -> int:
    """
    Write, or check.

    @return: The exit status.
    """
    check = "--check" in arguments
    folder = ROOT / "share"
    wanted = files()
    stray = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - set(wanted)
    if check:
        stale = {name for name, text in wanted.items() if read(folder / name) != text}
        for name in sorted(stale | stray):
            print(f"share/{name} is not what the options say: run python docs/manuals.py")
        return 1 if stale or stray else 0
    for name in stray:
        (folder / name).unlink()
    for name, text in wanted.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    print(f"{len(wanted)} files in share")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
