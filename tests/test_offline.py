"""
Tests of L{ockam_twisted.offline}.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from ockam_twisted.errors import StateUnusable
from ockam_twisted.identity.creation import IDENTITY
from ockam_twisted.offline import folderOf, hasIdentity, showIdentity
from ockam_twisted.storage.folder import StateFolder
from ockam_twisted.storage.sqlite import SQLiteStore
from tests.memory_reactor import MemoryReactor

NOBODY = 65534


class ShowIdentityTests(SynchronousTestCase):
    """
    C{ockam-twisted identity show}, with a real database.
    """

    def setUp(self) -> None:
        place = tempfile.mkdtemp(prefix="ockam-twisted-test-")
        self.addCleanup(shutil.rmtree, place)
        os.chmod(place, 0o711)
        self.folder = Path(place) / "state"

    def show(self, reactor: Any = None) -> str:
        """
        Show what is there.
        """
        return showIdentity(reactor, folderOf(str(self.folder), "ockam-inlet", "default"))

    def refused(self, says: str, reactor: Any = None) -> None:
        """
        It ends with a plain line.
        """
        error = str(self.assertRaises(StateUnusable, self.show, reactor))
        self.assertIn(says, error)
        self.assertTrue(error.isprintable(), error)

    def test_made(self) -> None:
        """
        Where there is no identity one is made, in a private folder that is
        free afterwards; then it is shown without a reactor.
        """
        self.assertFalse(hasIdentity(StateFolder(self.folder)))
        made = self.show(MemoryReactor())
        self.assertTrue(hasIdentity(StateFolder(self.folder)))
        self.assertRegex(made, "^I[0-9a-f]{64}$")
        self.assertEqual(self.folder.stat().st_mode & 0o777, 0o700)
        self.assertEqual(self.show(), made)
        StateFolder(self.folder).check()

    def test_default(self) -> None:
        """
        Without a folder it is that of the command and its instance.
        """
        self.patch(os, "environ", {"XDG_STATE_HOME": str(self.folder)})
        made = showIdentity(MemoryReactor(), folderOf("", "ockam-outlet", "blue"))
        self.assertEqual(showIdentity(None, folderOf("", "ockam-outlet", "blue")), made)
        self.assertTrue((self.folder / "ockam-twisted" / "ockam-outlet" / "blue" / "state.sqlite").exists())

    def test_running(self) -> None:
        """
        While a node runs its identity is shown; while something else has the
        folder and there is none, none is made.
        """
        node = StateFolder(self.folder)
        node.open()
        self.refused("--instance", MemoryReactor())
        node.close()
        made = self.show(MemoryReactor())
        node.open()
        self.assertEqual(self.show(), made)
        node.close()

    def test_unusable(self) -> None:
        """
        Folders that others can read, that are none, and that hold other
        things are refused, each with what to do.
        """
        self.folder.mkdir()
        self.folder.chmod(0o755)
        self.assertRaises(StateUnusable, hasIdentity, StateFolder(self.folder))
        self.refused("run: chmod 700")
        (self.folder / "letters").touch()
        self.refused("there are other files in it")
        self.folder = self.folder / "letters"
        self.refused("is not a folder")

    def test_foreign(self) -> None:
        """
        A folder of somebody else is named as such, also where we may not
        even look.
        """
        if os.geteuid() != 0:
            raise SkipTest("NOT ROOT: cannot become another user")
        self.folder.mkdir(mode=0o700)
        os.seteuid(NOBODY)
        try:
            self.refused(f"belongs to user 0, and this is user {NOBODY}")
            self.folder = self.folder / "deep"
            self.refused(f"cannot be used by user {NOBODY}: Permission denied")
        finally:
            os.seteuid(0)

    def test_damaged(self) -> None:
        """
        A damaged database, and a damaged identity in a sound one, are named.
        """
        reactor: Any = MemoryReactor()
        self.folder.mkdir(mode=0o700)
        database = self.folder / "state.sqlite"
        database.write_bytes(b"this is no database" * 100)
        self.refused("damaged")
        database.unlink()
        store = SQLiteStore(database, reactor)
        store.open()
        reactor.wait(store.storeSetting(IDENTITY, b"nonsense"))
        reactor.wait(store.close())
        self.refused("the stored identity is damaged")

    def test_interrupted(self) -> None:
        """
        A reactor that ends before it is done has made nothing to show.
        """

        class Interrupted(MemoryReactor):
            def run(self) -> None:
                """
                End at once.
                """

        self.refused("interrupted", Interrupted())
