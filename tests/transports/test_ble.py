"""
Tests for L{ockam_twisted.transports.ble}; with controllers that are programs,
over sockets of loopback, in real time.
"""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import InvalidMultiAddr
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.transports.ble import VARIABLE, BLEEndpoint, BLEServerEndpoint
from ockam_twisted.transports.roads import componentsOfString, dialRoad, serverEndpointOf
from ockam_twisted.wire.codecs import BARE
from tests.transports.radios import inLoop
from tests.transports.test_blelink import Behind
from tests.transports.test_bleradio import until


class Hops:
    """
    Makes what is behind links.

    @ivar room: How many there may be.
    """

    def __init__(self, room: int = 10) -> None:
        self.made: list[Any] = []
        self.room = room

    def buildProtocol(self, address: Any) -> Any:
        if len(self.made) >= self.room:
            return None
        hop: Any = Behind()
        hop.lost = Deferred()
        hop.whenLost = lambda: hop.lost
        hop.connectionLost = lambda reason: hop.lost.callback("lost")
        hop.makeConnection = lambda transport: setattr(hop, "transport", transport)
        self.made.append(hop)
        return hop


def reactorHere() -> Any:
    """
    What endpoints look at of an asyncio reactor.
    """
    return SimpleNamespace(_asyncioEventloop=asyncio.get_running_loop())


async def done(what: Deferred[Any]) -> Any:
    """
    Wait for it.
    """
    return await what.asFuture(asyncio.get_running_loop())


class RoadTests(SynchronousTestCase):
    """
    Tests for the road.
    """

    def test_otherReactor(self) -> None:
        """
        Under another reactor one line says which one it needs.
        """
        reactor = MemoryReactorClock()
        line = "Bluetooth needs the asyncio reactor: --reactor=asyncio, of twist or ockam-twisted"
        error = self.assertRaises(ValueError, serverEndpointOf, reactor, "ble:otter")
        self.assertEqual(str(error), line)
        road = MultiAddr.fromText("/ble/otter/service/x").road
        self.assertIn(line, str(self.assertRaises(InvalidMultiAddr, dialRoad, reactor, road)))

    def test_strings(self) -> None:
        """
        An endpoint string says the same as a MultiAddr.
        """
        self.assertEqual(componentsOfString("ble:otter"), (("ble", "otter"),))
        for wrong in ("ble:", "ble:" + "x" * 27, "ble:a:b", "ble:a\n"):
            self.assertRaises(ValueError, componentsOfString, wrong)
        error = self.assertRaises(ValueError, componentsOfString, "ble:otter:adapter=usb\\:0")
        self.assertIn(VARIABLE, str(error))


class EndpointTests(SynchronousTestCase):
    """
    Tests for L{BLEEndpoint} and L{BLEServerEndpoint}.
    """

    def test_connect(self) -> None:
        """
        Two endpoints make hops that reach each other; once all is over, the
        controllers can be used again.
        """

        async def doing(one: str, other: str) -> None:
            reactor = reactorHere()
            here, there = Hops(), Hops()
            for _ in range(2):
                escaped = one.replace(":", "\\:")
                server: Any = serverEndpointOf(reactor, f"ble:otter:adapter={escaped}")
                self.assertIs(server.codec, BARE)
                port = await done(server.listen(there))
                self.assertEqual(port.getHost().name, "otter")
                client = BLEEndpoint(reactor, "otter", other)
                self.assertIs(client.codec, BARE)
                hop = await done(client.connect(here))
                await until(lambda: there.made)
                hop.transport.write(b"hello")
                await until(lambda: there.made[0].messages)
                self.assertEqual(there.made[0].messages, [b"hello"])
                self.assertEqual(hop.transport.getPeer().name, "otter")
                hop.transport.loseConnection()
                await until(lambda: there.made[0].lost.called and hop.lost.called)  # noqa: B023
                await done(port.stopListening())
                there.made.clear()

        inLoop(2, doing)

    def test_full(self) -> None:
        """
        Who may have no hop is told, and the connection does not stay.
        """

        async def doing(one: str, other: str) -> None:
            reactor = reactorHere()
            there = Hops()
            port = await done(BLEServerEndpoint(reactor, "otter", one).listen(there))
            with self.assertRaises(ConnectError):
                await done(BLEEndpoint(reactor, "otter", other).connect(Hops(0)))
            await until(lambda: all(each.lost.called for each in there.made))
            await done(port.stopListening())

        inLoop(2, doing)

    def test_environment(self) -> None:
        """
        The controller that connects is named by the environment.
        """

        async def doing() -> None:
            self.patch(os, "environ", {**os.environ, VARIABLE: "tcp-client:127.0.0.1:1"})
            with self.assertRaises(ConnectError) as error:
                await done(BLEEndpoint(reactorHere(), "otter").connect(Hops()))
            self.assertIn("tcp-client:127.0.0.1:1", str(error.exception))

        inLoop(0, doing)
