"""
Channels that are replaced under load: two nodes in this process, with real
sockets and real time.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection
from itertools import pairwise
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import TestCase

from ockam_twisted.identity.trust import TrustIdentifier
from ockam_twisted.node import Node
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import WayAttempt
from ockam_twisted.sessions.session import Session
from tests.scenarios.processes import freePort

MIB = 1024 * 1024
SIZE = 512 * MIB


class Giver(Protocol):
    """
    Sends much, as fast as it is taken.

    @ivar routes: Of the ways there were: it goes on until there is a second
        one, however long that takes.
    """

    def __init__(self, size: int, routes: Collection[Any]) -> None:
        self.digest = hashlib.sha256()
        self.left = size
        self.size = 0
        self.routes = routes
        self.block = os.urandom(MIB)

    def connectionMade(self):
        self.transport.registerProducer(self, False)

    def resumeProducing(self):
        if self.left or len(self.routes) < 2:
            self.left = max(self.left - MIB, 0)
            self.size += MIB
            data = self.size.to_bytes(8, "big") + self.block[8:]
            self.digest.update(data)
            self.transport.write(data)
        else:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def stopProducing(self):
        self.left, self.routes = 0, (None, None)


class Taker(Protocol):
    """
    Reads all, and notes the longest pause.
    """

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.size = 0
        self.pause = 0.0
        self.last: float | None = None
        self.done: Deferred[None] = Deferred()

    def dataReceived(self, data):
        now = time.monotonic()
        if self.last is not None:
            self.pause = max(self.pause, now - self.last)
        self.last = now
        self.digest.update(data)
        self.size += len(data)

    def connectionLost(self, reason):
        self.done.callback(None)


class RenewalTests(TestCase):
    """
    A download while its channel is replaced three times a second.
    """

    timeout = 120

    @inlineCallbacks
    def test_underLoad(self):
        """
        Every byte arrives once and in order, and without a pause that
        somebody would notice; nothing is left of the old channels.
        """
        routes: set[Any] = set()
        giver, taker = Giver(SIZE, routes), Taker()
        target = yield TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(Factory.forProtocol(lambda: giver))
        self.addCleanup(target.stopListening)
        outlet = yield Deferred.fromCoroutine(Node.create(reactor))
        self.addCleanup(outlet.stopService)
        inlet = yield Deferred.fromCoroutine(Node.create(reactor))
        self.addCleanup(inlet.stopService)
        at, port = freePort(), freePort()
        yield outlet.listen(f"tcp:{at}:interface=127.0.0.1")
        listener = outlet.createSecureChannelListener(TrustIdentifier(inlet.identifier))
        outlet.createOutlet("outlet", f"127.0.0.1:{target.getHost().port}", (listener.flowId,))
        address = MultiAddr.fromText(f"/ip4/127.0.0.1/tcp/{at}/secure/api/service/outlet")
        attempt = WayAttempt(inlet.walk, address, TrustIdentifier(outlet.identifier))
        way = inlet.addSession(Session(reactor, attempt, "the way", renewAfter=0.3))
        way.changed(routes.add)
        yield Deferred.fromCoroutine(inlet.createInlet(f"tcp:{port}:interface=127.0.0.1", way))
        yield way.whenUp()
        beats = [time.monotonic()]
        beating = LoopingCall(lambda: beats.append(time.monotonic()))
        beating.start(0.05)
        yield TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(Factory.forProtocol(lambda: taker))
        yield taker.done
        beating.stop()
        # For so long the machine gave this process no time at all.
        stolen = max(after - before for before, after in pairwise([*beats, time.monotonic()]))
        self.assertGreaterEqual(giver.size, SIZE)
        self.assertEqual((taker.size, taker.digest.hexdigest()), (giver.size, giver.digest.hexdigest()))
        self.assertNotIn(None, routes)
        self.assertGreater(len(routes), 1)
        self.assertLess(taker.pause, 1.0 + stolen)
        self.assertLessEqual(len(listener.channels), 3)
