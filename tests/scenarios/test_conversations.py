"""
Recorded conversations with Rust nodes, held again (see
C{tests/interop/test_conversations.py}, which records them).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.scenarios.conversations import PARTS, replay

FOLDER = Path(__file__).parent.parent / "vectors" / "conversations"


class ConversationTests(SynchronousTestCase):
    """
    What we say to a Rust node follows from what it says, byte for byte.
    """

    def test_complete(self) -> None:
        """
        There is a conversation of each kind with each of two releases.
        """
        found = {path.stem for path in FOLDER.glob("*.json")}
        self.assertEqual(found, {f"{part}_{release}" for part in PARTS for release in ("v0_139", "newest")})


def _test(path: Path) -> Callable[[ConversationTests], None]:
    def test(self: ConversationTests) -> None:
        replay(self, json.loads(path.read_text()))

    test.__doc__ = f"The conversation {path.stem}."
    return test


for _path in sorted(FOLDER.glob("*.json")):
    setattr(ConversationTests, f"test_{_path.stem}", _test(_path))
