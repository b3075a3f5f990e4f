"""
The inlet of a UDP portal: one socket for all clients, and a flow for each address
that sends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ockam_twisted.errors import DecodeError, NoRoute
from ockam_twisted.interfaces import IRouter, ISockets, IWay
from ockam_twisted.portals.datagrams import IDLE, DatagramFlow, DatagramTotals, datagramAddress
from ockam_twisted.portals.refusals import Refusals
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.wire.extension import RESET_KIND
from ockam_twisted.wire.portal import DISCONNECT, PING, PONG
from ockam_twisted.wire.terms import DATAGRAMS, Terms, decodeTerms, encodeTerms

#: How many clients there may be.
MAX_FLOWS = 4096

#: Seconds after which a Ping without an answer is sent again.
AGAIN = 1.0

#: How many of them are in vain before that is told.
IN_VAIN = 3


class _Client(DatagramFlow):
    """
    The flow of one client.
    """

    def __init__(self, inlet: DatagramInlet, client: tuple[str, int]) -> None:
        super().__init__(inlet.router, inlet.clock, inlet.totals, self._toClient)
        self.askedAt = float("-inf")
        self.asked = 0
        self._inlet = inlet
        self._client = client
        self._asked: Route | None = None

    def _toClient(self, data: bytes) -> None:
        transport: Any = self._inlet.transport
        try:
            transport.write(data, self._client)
        except OSError:
            self._totals.dropped += 1

    def ask(self, route: Route) -> None:
        """
        Ask the outlet at the end of a route for a flow.
        """
        router = self._router
        self.askedAt = self._clock.seconds()
        self.asked += 1
        self._asked = route
        self.admit(router.flowControls.producerId(route[0]))
        *before, last = route
        to = Route((*before, Address.local(datagramAddress(last.value.decode("utf-8", "replace")))))
        ping = encodeTerms(PING, Terms(DATAGRAMS, 0, self._inlet.instance))
        try:
            router.route(LocalMessage(to, Route((self.address,)), ping), self.address)
        except NoRoute:
            pass

    def said(self, message: LocalMessage) -> None:
        """
        See L{DatagramFlow.said}: an answer.
        """
        if self._asked is None or self.isOpen:
            return
        peer = self._router.peers.find(self._asked[0])
        # Only the outlet may answer.
        if peer is not None and (message.peerIdentity is None or message.peerIdentity.encryptor != peer.encryptor):
            return
        payload = message.payload
        try:
            terms = decodeTerms(payload) if payload[:1] == PONG else None
        except DecodeError:
            return
        if terms is not None and terms.features & DATAGRAMS and message.return_route:
            self.asked = 0
            self.connect(message.return_route, None if peer is None else peer.encryptor)
        elif payload[:1] in (PONG, DISCONNECT) or payload[:1] == bytes((RESET_KIND,)):
            self._inlet.refused()


class DatagramInlet(DatagramProtocol, Service):
    """
    See the module.

    @ivar way: Leads to the outlet's worker for streams.
    @ivar flows: By the address of the client.
    @ivar totals: What all of them have done.
    """

    _log = Logger()

    def __init__(
        self, router: IRouter, reactor: Any, sockets: ISockets, way: IWay, instance: bytes, idle: float = IDLE
    ) -> None:
        """
        @param instance: Of this process, 16 bytes.
        @param idle: Seconds without a datagram after which a flow ends.
        """
        self.router = router
        self.clock = reactor
        self._sockets = sockets
        self.way = way
        self.instance = instance
        self.idle = idle
        self.totals = DatagramTotals()
        self.flows: dict[tuple[str, int], _Client] = {}
        self.port: Any = None
        self._refusals = Refusals(reactor)
        self._unwatch: Callable[[], None] | None = None
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor

    def listen(self, port: int, interface: str = "127.0.0.1") -> Any:
        """
        Hear clients.

        @return: The port.
        @raise CannotListenError: It cannot be had.
        """
        self.port = self._sockets.bindDatagrams(self.clock, self, port, interface)
        return self.port

    @property
    def at(self) -> str:
        """
        Where it hears clients, for people.
        """
        where: Any = None if self.port is None else self.port.getHost()
        return "" if where is None else f"{where.host}:{where.port}"

    def startService(self) -> None:
        """
        Follow the way.
        """
        Service.startService(self)
        self._unwatch = self.way.changed(self._wayChanged)
        self._looking.start(min(AGAIN, max(0.1, self.idle / 4)), now=False)

    def stopService(self) -> Deferred[None] | None:
        """
        Hear no more clients.
        """
        Service.stopService(self)
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
        if self._looking.running:
            self._looking.stop()
        with self.router.turn:
            for each in self.flows.values():
                each.end()
        self.flows.clear()
        port, self.port = self.port, None
        return None if port is None else maybeDeferred(port.stopListening)

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        See C{DatagramProtocol}.
        """
        flow = self.flows.get(addr[:2])
        if flow is None:
            if len(self.flows) >= MAX_FLOWS:
                self.totals.dropped += 1
                if self._refusals.isNews("many"):
                    self._log.warn(
                        "A client was refused: {reason}",
                        reason=f"there are {len(self.flows)} clients already",
                        event="client-refused",
                    )
                return
            flow = self.flows[addr[:2]] = _Client(self, addr[:2])
            flow.listen(None)
            self._ask(flow)
        flow.send(datagram)

    def _ask(self, flow: _Client) -> None:
        route = self.way.route
        if route is not None:
            with self.router.turn:
                flow.ask(route)

    def _wayChanged(self, route: Route | None) -> None:
        """
        There is another way: every flow begins anew over it.
        """
        if route is not None:
            for flow in list(self.flows.values()):
                flow.leave()
                self._ask(flow)

    def _look(self) -> None:
        """
        Which flows are idle, and which are without an answer?
        """
        now = self.clock.seconds()
        for client, flow in list(self.flows.items()):
            if now - flow.usedAt >= self.idle:
                del self.flows[client]
                with self.router.turn:
                    flow.end()
            elif not flow.isOpen and now - flow.askedAt >= AGAIN:
                if flow.asked >= IN_VAIN:
                    self.refused()
                self._ask(flow)

    def refused(self) -> None:
        """
        The outlet has no flows for us.
        """
        if self._refusals.isNews("refused"):
            self._log.warn(
                "A client was refused: {reason}",
                reason="the outlet takes no datagrams: it has no --udp-target, or does not permit it",
                event="client-refused",
            )
