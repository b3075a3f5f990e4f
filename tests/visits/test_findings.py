"""
Tests for L{ockam_twisted.visits.findings}: how they come about is in
L{tests.scenarios.test_check}.
"""

from __future__ import annotations

import errno
import socket

from twisted.internet import error as network
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import (
    ConnectionClosed,
    EnrollmentRefused,
    FrameTooLarge,
    HandshakeFailed,
    InvalidTicket,
    PeerNotTrusted,
    StreamNotOpened,
    TimedOut,
    VersionMismatch,
)
from ockam_twisted.visits import findings
from ockam_twisted.visits.findings import FAILED, STEPS, Finding
from ockam_twisted.wire.extension import POLICY, PROTOCOL_ERROR, REFUSED, SHUTTING_DOWN, TIMED_OUT, UNREACHABLE


def _version(found: int) -> VersionMismatch:
    error = VersionMismatch("x")
    error.found = found
    return error


class FindingTests(SynchronousTestCase):
    """
    Every failure says what was found, whose fault it may be, and what to do.
    """

    def assertSays(self, finding: Finding, step: str, found: str, whose: str, advice: str) -> None:
        """
        It does, in one line each.
        """
        self.assertEqual((finding.step, finding.state), (step, FAILED))
        for text, part in ((finding.found, found), (finding.whose, whose), (finding.advice, advice)):
            self.assertIn(part, text)
            self.assertTrue(text.isprintable() and text)
        self.assertIn(finding.step, STEPS)

    def test_network(self) -> None:
        """
        What the network does.
        """
        unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        later = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        for finding, step, found, whose, advice in (
            (findings.ofName("h", unknown), "name", "there is no host h", "your options, or the network", "DNS"),
            (findings.ofName("h", later), "name", "Temporary failure", "the network", "name server"),
            (
                findings.ofName("h", TimedOut("no name server answers")),
                "name",
                "no name server",
                "the network",
                "name server",
            ),
            (
                findings.ofDial("h:1", "o", network.ConnectionRefusedError()),
                "dial",
                "nobody listens on h:1",
                "o, or your",
                "port",
            ),
            (
                findings.ofDial("h:1", "o", network.TimeoutError()),
                "dial",
                "no answer at all",
                "the network",
                "firewall",
            ),
            (
                findings.ofDial("h:1", "o", OSError(errno.ENETUNREACH, "Network is unreachable")),
                "dial",
                "Network is unreachable",
                "the network",
                "route",
            ),
            (findings.ofVersion("h:1", "o", _version(0)), "version", "version 0 of the protocol", "o", "same version"),
            (findings.ofVersion("h:1", "o", _version(ord("H"))), "version", "a web server", "your options", "port"),
            (findings.ofVersion("h:1", "o", _version(200)), "version", "no Ockam node", "your options", "port"),
            (findings.ofVersion("h:1", "o", FrameTooLarge("x")), "version", "no Ockam node", "your options", "port"),
            (findings.ofVersion("h:1", "o", TimedOut("x")), "version", "says nothing", "your options, or o", "hung up"),
            (findings.ofVersion("h:1", "o", TimedOut("x"), True), "version", "a web server", "your options", "port"),
            (findings.ofVersion("h:1", "o", ConnectionClosed("x")), "version", "at once: x", "the network", "proxy"),
        ):
            self.assertSays(finding, step, found, whose, advice)

    def test_nodes(self) -> None:
        """
        What nodes say and do.
        """
        for finding, step, found, whose, advice in (
            (findings.ofAbsentName("n"), "relay", "nobody with the name n", "the far side", "start the outlet"),
            (
                findings.ofChannel("api", "n", True, TimedOut("x")),
                "channel",
                "no listener called api",
                "your options",
                "/secure/api",
            ),
            (
                findings.ofChannel("api", "n", False, TimedOut("x")),
                "channel",
                "nobody behind n",
                "the far side",
                "registered",
            ),
            (
                findings.ofChannel("api", "n", True, ConnectionClosed("x")),
                "channel",
                "ends during",
                "the relay",
                "try again",
            ),
            (
                findings.ofChannel("api", "n", True, HandshakeFailed("x")),
                "channel",
                "proves nothing: x",
                "the far side",
                "do not use",
            ),
            (
                findings.ofIdentity(PeerNotTrusted("the peer I1")),
                "identity",
                "the peer I1",
                "your options",
                "identity show",
            ),
            (findings.ofRefusal("I1", "x", True, False), "trust", "I1 is not accepted", "your options", "--instance"),
            (
                findings.ofRefusal("I1", "x", False, False),
                "trust",
                "I1 is not accepted",
                "the far side",
                "--authorized I1",
            ),
            (findings.ofRefusal("I1", "x", False, True), "trust", "I1 is not accepted", "the far side", "member list"),
            (findings.ofClosed("x"), "trust", "closed again: x", "the far side", "log"),
            (findings.ofTicket(InvalidTicket("x")), "ticket", "x", "your options", "new ticket"),
            (findings.ofTicket(EnrollmentRefused("x")), "ticket", "x", "the far side", "new ticket"),
            (findings.ofTicket(TimedOut("x")), "ticket", "x", "the far side", "steps that follow"),
            (
                findings.ofCredential("I1", "I2 is no member there"),
                "credential",
                "no member",
                "the authority's",
                "ticket",
            ),
            (findings.ofCredential("I1", ""), "credential", "does not answer", "the network", "reached"),
        ):
            self.assertSays(finding, step, found, whose, advice)

    def test_streams(self) -> None:
        """
        Why there is no stream: what comes before that is done.
        """
        for code, before, step, found, whose in (
            (-1, [], "outlet", "no outlet at the address shop", "your options"),
            (SHUTTING_DOWN, [], "outlet", "about to stop", "the far side"),
            (POLICY, ["outlet"], "policy", "does not let us in", "the far side"),
            (0, ["outlet", "policy"], "target", "no stream", "the target, or the far side"),
            (REFUSED, ["outlet", "policy"], "target", "refuses the connection", "the target"),
            (TIMED_OUT, ["outlet", "policy"], "target", "does not answer", "the target"),
            (UNREACHABLE, ["outlet", "policy"], "target", "cannot be reached", "the target"),
            (PROTOCOL_ERROR, ["outlet", "policy"], "target", "protocol error", "the far side"),
        ):
            *those, last = findings.ofStream("shop", StreamNotOpened("no stream: x", code))
            self.assertEqual([each.step for each in those], before)
            self.assertSays(last, step, found, whose, "")
            self.assertFalse(any(each.state == FAILED for each in those))

    def test_targetDown(self) -> None:
        """
        Of a target that is down only what the network says is repeated.
        """
        network = "Connection was refused by other side."
        said = f"no stream to x: the outlet has refused it: refused: the target does not answer: {network}"
        *_, last = findings.ofStream("shop", StreamNotOpened(said, REFUSED))
        self.assertEqual(last.found, f"the target refuses the connection: {network}")
        *_, last = findings.ofStream("shop", StreamNotOpened("unreachable", UNREACHABLE))
        self.assertEqual(last.found, "the target cannot be reached: unreachable")

    def test_hostile(self) -> None:
        """
        What others say does nothing to a terminal, and is cut.
        """
        [finding] = findings.ofStream("o", StreamNotOpened("x", SHUTTING_DOWN))
        self.assertTrue(finding.found.isprintable())
        finding = findings.ofClosed("\x1b[2J" + "long" * 1000)
        self.assertTrue(finding.found.isprintable())
        self.assertLess(len(finding.found), 500)
