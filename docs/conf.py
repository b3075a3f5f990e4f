"""
How Sphinx builds these pages: C{python docs/build.py FOLDER}, which also
writes the reference of the API beside them.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "extensions")]

from ockam_twisted import __version__  # noqa: E402

project = "ockam_twisted"
copyright = "the authors of ockam_twisted, Apache-2.0"
version = release = __version__

extensions = ["sphinx_copybutton", "commands", "settings"]
exclude_patterns: list[str] = []
highlight_language = "none"
nitpicky = True

html_theme = "furo"
html_title = f"ockam_twisted {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/mark.svg"
html_copy_source = False
html_show_sphinx = False
# No outside assets: the pages are also read from a disk, without a network.
html_theme_options = {"light_logo": "mark.svg", "dark_logo": "mark.svg", "navigation_with_keys": True}

# What is copied from a session is what was typed, without prompts and answers.
copybutton_prompt_text = r"\$ |# "
copybutton_prompt_is_regexp = True
copybutton_line_continuation_character = "\\"


def linked(app: Any, name: str, source: list[str]) -> None:
    """
    Pages are also read as files, where another page is called by its path:
    here that is a link.
    """

    def link(match: re.Match[str]) -> str:
        page = match[1]
        return f":doc:`/{page}`" if (ROOT / "docs" / f"{page}.rst").exists() else match[0]

    source[0] = re.sub(r"``docs/([a-z/-]+)\.rst``", link, source[0])


def setup(app: Any) -> None:
    """
    See Sphinx.
    """
    app.connect("source-read", linked)
