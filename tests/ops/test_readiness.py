"""
Tests of L{ockam_twisted.ops.readiness}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.ops.readiness import Readiness, readiness
from ockam_twisted.ops.status import NodeStatus, SessionStatus

UP = SessionStatus("relay a:1", "up", 3.0)
RENEWING = SessionStatus("relay b:1", "up, renewing", 3.0)
DOWN = SessionStatus("relay c:1", "waiting", 3.0, "connection refused")
TRYING = SessionStatus("relay d:1", "trying", 0.0)


class ReadinessTests(SynchronousTestCase):
    """
    Tests of L{readiness}.
    """

    def ready(self, *sessions: SessionStatus, life: str = "running") -> Readiness:
        """
        Of a node with these sessions.
        """
        return readiness(NodeStatus("ockam-node", "", (), sessions, 0), life)

    def test_ready(self) -> None:
        """
        It is, once every session is up, also one that is being replaced; a
        node without sessions needs none.
        """
        for sessions in ((), (UP,), (UP, RENEWING)):
            self.assertEqual(self.ready(*sessions), Readiness())
        self.assertEqual(self.ready().asJSON(), {"ready": True, "reasons": []})

    def test_why(self) -> None:
        """
        Each session that is not up is named, with why.
        """
        ready = self.ready(UP, DOWN, TRYING)
        self.assertFalse(ready.isReady)
        self.assertEqual(ready.reasons, ("relay c:1: connection refused", "relay d:1: trying"))

    def test_life(self) -> None:
        """
        It is not before it has started, or once it stops.
        """
        for life in ("starting", "stopping"):
            self.assertEqual(self.ready(UP, life=life).reasons, (f"the node is {life}",))
