"""
The Bluetooth Low Energy transport (spec messaging, section 11), in both roles:
who listens is a peripheral, who connects is a central.

It needs Twisted's asyncio reactor, since C{bumble} is made for asyncio, and that
one costs a node that carries much over TCP some of its speed: see
C{docs/transports.rst}.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IListeningPort, IStreamClientEndpoint, IStreamServerEndpoint
from zope.interface import implementer

from ockam_twisted.routing.multiaddr import Component
from ockam_twisted.transports.blelink import BLEAddress, BLELink
from ockam_twisted.transports.bleradio import Radio, bumble
from ockam_twisted.transports.strings import arguments
from ockam_twisted.wire.codecs import BARE

#: The environment variable that names the controller, and what it is without.
VARIABLE, DEFAULT = "OCKAM_TWISTED_BLE", "usb:0"

#: Bytes of a name: so much is told to everybody at once.
MAX_NAME = 26


def _checked(name: str) -> str:
    if not 0 < len(name.encode()) <= MAX_NAME or not name.isprintable():
        raise ValueError(f"a name over Bluetooth has 1 to {MAX_NAME} bytes")
    return name


def _loopOf(reactor: Any) -> Any:
    """
    @raise ValueError: This is another reactor, or C{bumble} is missing.
    """
    bumble("transport")
    loop = getattr(reactor, "_asyncioEventloop", None)
    if loop is None:
        raise ValueError("Bluetooth needs the asyncio reactor: --reactor=asyncio, of twist or ockam-twisted")
    return loop


def _started(loop: Any, doing: Coroutine[Any, Any, Any]) -> Deferred[Any]:
    return Deferred.fromFuture(loop.create_task(doing))


def _adapter() -> str:
    return os.environ.get(VARIABLE) or DEFAULT


_RADIOS: dict[tuple[int, str], Radio] = {}


def radioOf(adapter: str) -> Radio:
    """
    @return: The one there is of this adapter, in this loop.
    """
    key = (id(asyncio.get_running_loop()), adapter)
    radio = _RADIOS.get(key)
    if radio is None:
        radio = _RADIOS[key] = Radio(adapter)
    return radio


class _Endpoint:
    """
    What both roles have in common.
    """

    codec = BARE

    def __init__(self, reactor: Any, name: str, adapter: str | None = None) -> None:
        """
        @param name: Of the peripheral.
        @param adapter: The controller, as C{bumble} names it.
        """
        self._loop = _loopOf(reactor)
        self._name = _checked(name)
        self._adapter = adapter or _adapter()


@implementer(IStreamClientEndpoint)
class BLEEndpoint(_Endpoint):
    """
    Connects to a peripheral.
    """

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """
        See C{IStreamClientEndpoint}.

        @return: Fires with the hop.
        """
        return _started(self._loop, self._connect(protocolFactory))

    async def _connect(self, protocolFactory: Any) -> Any:
        radio = radioOf(self._adapter)
        await radio.open()
        try:
            link = await radio.connect(self._name)
            hop = protocolFactory.buildProtocol(link.getPeer())
            if hop is None:
                link.abortConnection()
                raise ConnectError(string="there are too many connections")
            link.begin(hop)
        except BaseException:
            await radio.close()
            raise
        hop.whenLost().addBoth(lambda _: self._loop.create_task(radio.close()))
        return hop


@implementer(IListeningPort)
class _Port:
    def __init__(self, loop: Any, radio: Radio, name: str) -> None:
        self._loop = loop
        self._radio: Radio | None = radio
        self._name = name

    def startListening(self) -> None:
        """
        It does already.
        """

    def stopListening(self) -> Deferred[None]:
        """
        See C{IListeningPort}.
        """
        return _started(self._loop, self._stop())

    async def _stop(self) -> None:
        radio, self._radio = self._radio, None
        if radio is not None:
            await radio.stopListening()
            await radio.close()

    def getHost(self) -> BLEAddress:
        """
        See C{IListeningPort}.
        """
        return BLEAddress(self._name)


@implementer(IStreamServerEndpoint)
class BLEServerEndpoint(_Endpoint):
    """
    Is a peripheral.
    """

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """
        See C{IStreamServerEndpoint}.
        """
        return _started(self._loop, self._listen(protocolFactory))

    async def _listen(self, protocolFactory: Any) -> _Port:
        def accept(link: BLELink) -> bool:
            hop = protocolFactory.buildProtocol(link.getPeer())
            if hop is not None:
                link.begin(hop)
            return hop is not None

        radio = radioOf(self._adapter)
        await radio.open()
        try:
            await radio.listen(self._name, accept)
        except BaseException:
            await radio.close()
            raise
        return _Port(self._loop, radio, self._name)


# ----------------------------------------------------------------- the road


def clientEndpoint(reactor: Any, components: tuple[Component, ...]) -> BLEEndpoint:
    """
    See L{ockam_twisted.transports.roads}: C{/ble/NAME}.
    """
    return BLEEndpoint(reactor, str(components[0][1]))


def components(prefix: str, rest: str) -> tuple[Component, ...]:
    """
    See L{ockam_twisted.transports.roads}: C{ble:NAME}.
    """
    if ":adapter=" in rest:
        raise ValueError(f"which controller connects is in the environment: {VARIABLE}={DEFAULT}")
    [name], _ = arguments(rest, 1)
    return (("ble", _checked(name)),)


def serverEndpoint(reactor: Any, prefix: str, rest: str) -> BLEServerEndpoint:
    """
    See L{ockam_twisted.transports.roads}: C{ble:NAME:adapter=usb\\:0}.
    """
    [name], named = arguments(rest, 1, ("adapter",))
    return BLEServerEndpoint(reactor, name, named.get("adapter"))
