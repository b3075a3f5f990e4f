"""
Tests for L{ockam_twisted.web.target}: how streams to a target that speaks HTTP
end.  What nginx and others make of it: C{tests/scenarios/test_web.py}.
"""

from __future__ import annotations

import select
import socket
from typing import Any

from twisted.internet import reactor as globalReactor
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from ockam_twisted.portals.output import PATIENCE
from ockam_twisted.transports.dialing import AddressEndpoint
from ockam_twisted.transports.pool import SocketPool
from ockam_twisted.web.exchange import Exchange
from ockam_twisted.web.target import HTTPTarget, _Client, _Dialed
from tests.portals.common import ChannelPortalTestCase, Halved, Told
from tests.scenarios.pairs import reset

reactor: Any = globalReactor
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class EndTests(ChannelPortalTestCase):
    """
    A client whose request is under way, at a target that does not answer.
    """

    def setUp(self) -> None:
        super().setUp()
        self.targets.kind = Halved
        self.network.endpoint("target").listen(self.targets)
        node, clock = self.outletNode, self.network.clock
        target = HTTPTarget(
            node.router, clock, self.network.endpoint("target"), "t", "X-Id", heldBack=node.stalls.heldBack
        )
        self.theOutlet, self.theInlet = self.outlet(target=target), self.inlet()
        self.program, self.target = self.another()
        self.say(REQUEST)
        self.assertTrue(self.target.received.startswith(b"GET / HTTP/1.1\r\n"))

    def say(self, data: bytes) -> None:
        """
        The client sends something.
        """
        self.program.send(data)
        self.network.pump()

    def test_finished(self) -> None:
        """
        The target hears at once that nothing more comes from the client, and
        may still answer.
        """
        self.close(self.program, half=True)
        self.assertTrue(self.target.finished)
        self.target.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.network.pump()
        self.assertTrue(self.program.received.endswith(b"ok"))

    def test_finishedAfterAnother(self) -> None:
        """
        It hears so after the requests that have waited for an answer.
        """
        self.say(REQUEST)
        self.close(self.program, half=True)
        self.assertFalse(self.target.finished)
        self.assertEqual(self.target.received.count(b"GET /"), 1)
        self.target.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.network.pump()
        self.assertEqual(self.target.received.count(b"GET /"), 2)
        self.assertTrue(self.target.finished)

    def test_reset(self) -> None:
        """
        A client that resets takes its target along at once, and within
        seconds if what it has sent besides still waits.
        """
        self.say(b"\r\n")
        transport: Any = self.program.transport
        transport.abortConnection()
        self.network.pump()
        self.assertEqual(self.theOutlet.streams, set())
        self.network.clock.advance(PATIENCE)
        self.network.pump()
        self.assertEqual(self.target.ending, "ConnectionLost")


class ResetTests(TestCase):
    """
    A target that resets while it answers.  Real sockets: the kernel tells of it
    once.
    """

    timeout = 20

    async def test_seenEarly(self) -> None:
        """
        What the kernel tells in the moment in which a reset comes is not taken
        for an end: what the client has is not all.
        """
        pool = SocketPool(reactor, lambda: None, lambda: None)
        with socket.create_server(("127.0.0.1", 0)) as server:
            dialed: Any = await AddressEndpoint(pool, "127.0.0.1", server.getsockname()[1], 5).connect(_Dialed())
            target, _ = server.accept()
        near: Any = Told()
        client = _Client(_NoAnnouncement(), dialed, Exchange("X-Id", "I1"))
        client.makeConnection(near)
        client.dataReceived(REQUEST)
        target.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of")
        while "write" not in near.told:
            await deferLater(reactor, 0.001)
        reset(target)
        near.told.clear()
        pool._ready(dialed.transport, select.EPOLLERR)
        self.assertEqual(near.told[-1], "abortConnection")


class _NoAnnouncement(HTTPTarget):
    """
    Has nothing but what a client asks it.
    """

    announces = False

    def __init__(self) -> None:
        """
        Nothing is dialed.
        """
