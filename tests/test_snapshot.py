"""
Tests for L{ockam_twisted.snapshot}.
"""

from __future__ import annotations

import json

from ockam_twisted.errors import TimedOut
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.ops.status import PortalStatus
from ockam_twisted.sessions.session import Session
from ockam_twisted.snapshot import sessionStatuses
from tests.sessions.common import Attempts
from tests.test_node import NodeTestCase


class SnapshotTests(NodeTestCase):
    """
    What is shown of sessions and portals.
    """

    def test_sessions(self) -> None:
        """
        Of each session the state, since when and why, the next try, and what
        it has reached.
        """
        clock, attempts = self.network.clock, Attempts("I1")
        session = Session(clock, attempts, "the way", lambda low, high: high)

        def now() -> object:
            [made] = sessionStatuses([(session, session.route is not None)], (), clock.seconds())
            return made.state, made.seconds, made.why, made.nextTry, made.way, made.peer, made.inUse

        first = "the first attempt is still under way"
        self.assertEqual(now(), ("idle", 0, first, None, "", "", False))
        session.startService()
        clock.advance(1.5)
        self.assertEqual(now(), ("trying", 1.5, first, None, "", "", False))
        attempts.fail(TimedOut("nobody there"))
        clock.advance(0.025)
        state, seconds, why, again, *rest = now()  # type: ignore[misc]
        self.assertEqual((state, why, rest), ("waiting", "nobody there", ["", "", False]))
        # It never was up.
        self.assertAlmostEqual(seconds, 1.525)
        # What the attempt has taken counts.
        self.assertAlmostEqual(again, 0.025)
        clock.advance(0.1)
        made = attempts.succeed("two")
        clock.advance(7)
        self.assertEqual(now(), ("up", 7, "", None, "two (I1)", "I1", True))
        made.lost.callback("reset by peer")
        clock.advance(0.25)
        self.assertEqual(now(), ("trying", 0.25, "down after 7 s: reset by peer", None, "", "", False))
        attempts.succeed("three")
        session.stopService()
        self.assertEqual(now(), ("idle", 0, "it is shutting down", None, "", "", False))

    def test_streams(self) -> None:
        """
        Where streams are is shown of portals and of the outlets that they go
        to; all of it is fit for JSON.
        """
        server, client = self.node("server"), self.node("client")
        self.serve(5000)
        self.network.result(server.listen("4000"))
        server.createRelayService()
        listener = server.createSecureChannelListener(TrustEveryone())
        server.createOutlet("outlet", "127.0.0.1:5000", (listener.flowId,))
        way = client.createWay("/ip4/127.0.0.1/tcp/4000/secure/api/service/outlet", [str(server.identifier)])
        self.run_(client.createInlet("4001", way))
        self.network.advance(1)
        self.assertEqual(self.says(self.client(4001)), b"HELLO")
        status = client.status()
        moved = {"total": 1, "sent": 5, "received": 5}
        self.assertEqual(status.portals, (PortalStatus("inlet", "127.0.0.1:4001", 1, session=0, **moved),))
        [session] = status.sessions
        self.assertEqual((session.peer, session.streams, session.inUse), (str(server.identifier), 1, True))
        self.assertIn("/tcp/4000/", session.way)
        self.assertGreater(status.seconds, 0)
        self.assertEqual(server.status().portals, (PortalStatus("outlet", "outlet", 1, "127.0.0.1:5000", **moved),))
        self.assertEqual(json.loads(json.dumps(status.asJSON()))["sessions"][0]["label"], "way to the outlet")
        self.assertEqual((server.status().relayed, server.status().members), (0, 0))
        steps = [(each.kind, each.at) for each in session.hops]
        self.assertEqual(
            steps, [("connection", "127.0.0.1:4000"), ("channel", str(server.identifier)), ("worker", "outlet")]
        )
        self.assertEqual([(each.state, each.why) for each in session.history], [("up", session.way)])
        self.assertGreaterEqual(session.roundTrip, 0)
        [stream] = status.open
        self.assertEqual((stream.portal, stream.state, stream.peer), (0, "open", str(server.identifier)))
        self.assertEqual((stream.sent, stream.received), (5, 5))
        [connection] = status.connections
        self.assertEqual((connection.isHeldBack, status.hops, status.channels), (False, 1, 1))
