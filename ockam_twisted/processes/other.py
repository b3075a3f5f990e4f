"""
A process that is not the first one: it has connections, and forwards what
comes over them.  It has no state, no identity and no keys, and gives no
names.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import ILogObserver, Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface import provider

from ockam_twisted.errors import OckamError
from ockam_twisted.interfaces import PayloadReceiver
from ockam_twisted.ops.records import asJSON
from ockam_twisted.ops.repeats import Repeats
from ockam_twisted.processes.link import Link
from ockam_twisted.processes.names import NameTable
from ockam_twisted.processes.packets import Packets
from ockam_twisted.processes.router import AskingRouter
from ockam_twisted.processes.words import Word, packet, route, unpack
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.services.echo import EchoService
from ockam_twisted.transports.budget import QueueBudget
from ockam_twisted.transports.factory import MessageStreamFactory
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.pool import pooled
from ockam_twisted.transports.service import TransportService
from ockam_twisted.transports.stalls import StallWatch
from ockam_twisted.transports.stream import MessageStreamProtocol

#: As many as there are descriptors: the first process counts.
_NO_LIMIT = 1 << 30

#: Characters of a log event; what is longer has more fields than any has.
_MAX_RECORD = 32768


class _Adopted(Factory):
    """
    Makes what is to be made of one descriptor.
    """

    noisy = False

    def __init__(self, make: Callable[[IAddress | None], Protocol | None]) -> None:
        self._make = make

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        """
        The descriptor was adopted.
        """
        return self._make(addr)


def adopt(reactor: Any, descriptor: int, family: int, make: Callable[[IAddress | None], Protocol | None]) -> None:
    """
    Make a connection of a descriptor, which is closed here: the connection
    has one of its own.

    @raise OSError: The connection is gone already.
    """
    try:
        reactor.adoptStreamConnection(descriptor, family, _Adopted(make))
    finally:
        os.close(descriptor)


class OtherProcess:
    """
    See the module.

    @ivar number: Of this process.
    @ivar hops: The connections that were handed to it, by number.
    """

    _log = Logger()
    transport: TransportService

    def __init__(self, reactor: Any, made: Any, number: int) -> None:
        """
        @param made: The socket that leads to the first process.
        """
        self.number = number
        self.hops: dict[int, MessageStreamProtocol] = {}
        self._reactor = reactor
        self._packets = Packets(reactor, made, self._received, self._firstGone)
        self._links: dict[int, Link] = {}
        self._isStopping = False
        self._isOver = False
        self.router = AskingRouter(self._ask)
        self._pool = pooled(reactor, self.router.turn.beginPass, self.router.turn.endPass)
        self._answers: dict[int, Callable[..., None]] = {
            Word.SETTINGS: self._begin,
            Word.NAME: self._setName,
            Word.NO_NAME: self._noName,
            Word.STOP: self._stop,
            Word.PING: self._ping,
        }

    def start(self) -> None:
        """
        Wait for what the first process says.
        """
        self._packets.start()

    def observer(self) -> ILogObserver:
        """
        @return: What logs at the first process.
        """

        repeats = Repeats(self._forward, self._reactor)

        @provider(ILogObserver)
        def observe(event: Any) -> None:
            if event.get("log_level") is not LogLevel.debug:
                repeats(event)

        return cast(ILogObserver, observe)

    def _forward(self, event: Any) -> None:
        line = "" if self._packets.isBusy else asJSON(event)
        if line and len(line) <= _MAX_RECORD:
            self._packets.send(packet(Word.LOG, line))

    def _ask(self, message: LocalMessage) -> PayloadReceiver | None:
        first = self._links.get(0)
        return None if first is None else first.ask(message)

    # ------------------------------------------------------------- packets

    def _received(self, data: bytes, descriptors: list[int]) -> None:
        try:
            word, *values = unpack(data)
            if word == Word.CONNECTION:
                # The kernel drops what this process has no room for.
                self._connect(descriptors.pop() if descriptors else None, *values)
            elif word == Word.LINK:
                self._link(descriptors.pop(), *values)
            else:
                self._answers[word](*values)
        except Exception:
            self._log.failure("A packet of the first process came to nothing", event="packet-failed")
            # It has no other chance than to begin anew.
            self._end()
        finally:
            for each in descriptors:
                os.close(each)

    def _firstGone(self) -> None:
        """
        Without the first process there is no relay.
        """
        self._end()

    def _end(self) -> None:
        """
        End, now, with all connections.
        """
        if not self._isOver:
            self._isOver = True
            self._reactor.stop()

    def _begin(self, maxFrame: int, budget: int) -> None:
        stalls = StallWatch(self._reactor, QueueBudget(budget))
        settings = HopSettings(self.router, self._reactor, stalls, maxFrame, perAddress=_NO_LIMIT, total=_NO_LIMIT)
        self.transport = TransportService(settings)
        listenerId = self.transport.listenerId
        self._names = NameTable(self.router, self.number, self._links, (listenerId,), self._sends)
        self._echo = EchoService(self.router, self._reactor, consumerIds=(listenerId,))
        for service in (stalls, self.router, self.transport, self._echo):
            service.startService()
        self._packets.send(packet(Word.READY))

    def _link(self, descriptor: int, number: int) -> None:
        def make(addr: IAddress | None) -> Link:
            made = Link(self.transport.settings, self.transport.listenerId, number, self._linkLost)
            self._links[number] = made
            return made

        adopt(self._pool, descriptor, socket.AF_UNIX, make)

    def _linkLost(self, link: Link) -> None:
        if self._links.get(link.number) is link:
            del self._links[link.number]
        if link.hasFailed:
            # What is behind it is not reached any more.
            self._end()

    def _connect(self, descriptor: int | None, number: int, family: int, data: bytes) -> None:
        if descriptor is None:
            self._log.warn(
                "A connection is lost: this process has no file descriptor left for it. Raise the limit with "
                "LimitNOFILE= in the unit, or ulimit -n",
                event="descriptor-missing",
            )
            self._packets.send(packet(Word.ENDED, number))
            return
        servers: MessageStreamFactory = self.transport.servers

        def make(addr: IAddress | None) -> MessageStreamProtocol | None:
            hop = servers.buildProtocol(addr, greets=False)
            if hop is not None:
                self.hops[number] = hop
                hop.whenLost().addCallback(lambda _: self._ended(number))
            return hop

        try:
            adopt(self._pool, descriptor, family, make)
        except OSError:
            # It was reset on its way here.
            pass
        hop = self.hops.get(number)
        if hop is None:
            self._packets.send(packet(Word.ENDED, number))
        elif data:
            hop.dataReceived(data)

    def _ended(self, number: int) -> None:
        self.hops.pop(number, None)
        self._packets.send(packet(Word.ENDED, number))

    def _setName(self, serial: int, address: Any, forward_route: Any, owner: int, peer: str) -> None:
        with self.router.turn:
            self._names.set(Address(*address), route(forward_route), owner, peer)
        if serial:
            self._packets.send(packet(Word.KNOWN, serial))

    def _sends(self, address: Address, connection: Address, isOver: bool) -> None:
        self._packets.send(packet(Word.SENDS, address, connection, isOver))

    def _noName(self, address: Any) -> None:
        self._names.remove(Address(*address))

    def _ping(self) -> None:
        self._packets.send(packet(Word.PONG))

    def _stop(self) -> None:
        """
        Let connections drain, then end.
        """
        if self._isStopping:
            return
        self._isStopping = True

        def stopped(result: object) -> None:
            if isinstance(result, Failure) and not result.check(OckamError):
                self._log.failure("This process did not stop as it should", result, event="process-stop-failed")
            self._end()

        self.transport.stopService().addBoth(stopped)
