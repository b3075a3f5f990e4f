"""
Read every reStructuredText file of the checkout that Sphinx does not read with
docutils, and fail on each that it has anything to say about.
"""

from __future__ import annotations

import sys
from pathlib import Path

from docutils.core import publish_doctree
from docutils.utils import SystemMessage

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("examples", "benchmarks", "newsfragments")

#: Warnings (2) and everything worse are reported, and end the reading.
STRICT = {"report_level": 2, "halt_level": 2}


def main() -> int:
    """
    @return: the exit status: 0 when all files are clean.
    """
    files = sorted(ROOT.glob("*.rst")) + [path for name in FOLDERS for path in sorted((ROOT / name).rglob("*.rst"))]
    bad = 0
    for path in files:
        try:
            publish_doctree(path.read_text(encoding="utf-8"), source_path=str(path), settings_overrides=STRICT)
        except SystemMessage:  # docutils has printed it, with file and line
            bad += 1
    print(f"{len(files)} reStructuredText files read, {bad} with mistakes.")
    return 1 if bad or not files else 0


if __name__ == "__main__":
    sys.exit(main())
