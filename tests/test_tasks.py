"""
Tests of L{ockam_twisted.tasks}, with a real database.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import OckamError, StateInUse
from ockam_twisted.offline import Keys
from ockam_twisted.sessions.pairing import PAIRING, pairingSetting
from ockam_twisted.storage.folder import StateFolder
from ockam_twisted.storage.sqlite import SQLiteStore
from ockam_twisted.tasks import Node, reloadNode, unpair
from tests.memory_reactor import MemoryReactor


class StoppedTests(SynchronousTestCase):
    """
    Tasks of a node that does not run.
    """

    def setUp(self) -> None:
        place = tempfile.mkdtemp(prefix="ockam-twisted-test-")
        self.addCleanup(shutil.rmtree, place)
        self.folder = Path(place) / "state"
        folder = StateFolder(self.folder)
        folder.open()
        reactor = MemoryReactor()
        store = SQLiteStore(folder.database, reactor)
        store.open()
        for name in (PAIRING, pairingSetting("mail"), pairingSetting("web")):
            reactor.wait(store.storeSetting(name, b"x"))
        reactor.wait(store.close())
        folder.close()

    def unpair(self, inlet: str = "") -> bool:
        """
        Forget a pairing.
        """
        return unpair(Node(MemoryReactor(), str(self.folder), "ockam-node", "default", Keys("", "")), inlet)

    def test_unpair(self) -> None:
        """
        Each inlet has a pairing of its own.
        """
        self.assertTrue(self.unpair("mail"))
        self.assertFalse(self.unpair("mail"))
        self.assertTrue(self.unpair())
        self.assertFalse(self.unpair())
        self.assertTrue(self.unpair("web"))

    def test_running(self) -> None:
        """
        What only a stopped node lets be done says which node to stop.
        """
        folder = StateFolder(self.folder)
        folder.open()
        self.addCleanup(folder.close)
        error = self.assertRaises(StateInUse, self.unpair)
        self.assertEqual(str(error), f"the state folder {self.folder} is in use: stop the node first")

    def test_reload(self) -> None:
        """
        What does not run reads nothing again.
        """
        error = self.assertRaises(OckamError, reloadNode, str(self.folder), "ockam-node", "default")
        self.assertIn("does not run", str(error))
        error = self.assertRaises(OckamError, reloadNode, str(self.folder / "no"), "ockam-node", "default")
        self.assertIn("there is no state", str(error))
