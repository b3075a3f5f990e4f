"""
The outlet of a UDP portal: a socket of its own towards the target for each flow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from twisted.application.service import Service
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import LoopingCall
from zope.interface import implementer

from ockam_twisted.errors import DecodeError
from ockam_twisted.interfaces import IAdmission, IBounded, IRouter, ISockets
from ockam_twisted.portals.datagrams import IDLE, DatagramFlow, DatagramTotals
from ockam_twisted.portals.decisions import Decisions
from ockam_twisted.portals.plain import REFUSAL
from ockam_twisted.portals.refusals import refusal as refused
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.routing.addresses import Address, Route, printable
from ockam_twisted.routing.local_message import LocalMessage, PeerIdentity
from ockam_twisted.wire.extension import POLICY, REFUSED
from ockam_twisted.wire.portal import PING, PONG
from ockam_twisted.wire.terms import DATAGRAMS, Terms, decodeTerms, encodeTerms

#: How many flows there may be, and how many of one peer.
MAX_FLOWS, PER_PEER = 4096, 1024


def _who(peer: PeerIdentity | None) -> str:
    return "" if peer is None else peer.identifier


def _key(peer: PeerIdentity | None, back: Route) -> tuple[Address | None, Route]:
    """
    What a flow is told apart by.
    """
    return None if peer is None else peer.encryptor, back


class _Target(DatagramProtocol):
    """
    The socket of one flow.  It is not connected, since a reactor takes an error
    that the kernel tells a connected one (nobody listens there, now) for its end.

    @ivar at: Where the target is.
    """

    at = ("", 0)

    def __init__(self, outlet: DatagramOutlet, back: Route, peer: PeerIdentity | None) -> None:
        self.peer = peer
        self.who = _who(peer)
        self.key = _key(peer, back)
        self.flow = DatagramFlow(outlet.router, outlet.clock, outlet.totals, self.deliver)
        self.flow.lost = self.end
        self._outlet = outlet

    def deliver(self, data: bytes) -> None:
        """
        A datagram from the inlet.
        """
        transport: Any = self.transport
        if transport is None:
            return
        try:
            transport.write(data, self.at)
        except OSError:
            self._outlet.totals.dropped += 1

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """
        A datagram from the target.
        """
        if addr[:2] == self.at:
            self.flow.send(datagram)

    def end(self) -> None:
        """
        It is over.
        """
        self.flow.end()
        self._outlet.ended(self)
        transport: Any = self.transport
        if transport is not None:
            transport.stopListening()


@implementer(IBounded)
class DatagramOutlet(Service):
    """
    See the module.

    @ivar address: Where inlets send their Ping.
    @ivar label: The target, for people.
    @ivar totals: What all of them have done.
    """

    def __init__(
        self,
        router: IRouter,
        reactor: Any,
        sockets: ISockets,
        address: Address,
        target: tuple[str, int],
        settings: StreamSettings,
        admission: IAdmission | None = None,
        idle: float = IDLE,
    ) -> None:
        """
        @param target: An IP address or a name, and a port.
        @param settings: Of streams; a part of it holds here, too.
        @param idle: Seconds without a datagram after which a flow ends.
        """
        self.router = router
        self.clock = reactor
        self.address = address
        self.label = f"{target[0]}:{target[1]}"
        self.totals = DatagramTotals()
        self._known: dict[Any, _Target] = {}
        self.idle = idle
        self._sockets = sockets
        self._target = target
        self._instance = settings.instance
        self._perPeer: Counter[str] = Counter()
        self._decisions = Decisions(address, admission, settings)
        self._draining = False
        self._unwatch: Callable[[], None] | None = None
        self._looking = LoopingCall(self._look)
        self._looking.clock = reactor

    @property
    def flows(self) -> set[_Target]:
        """
        Those that there are.
        """
        return set(self._known.values())

    @property
    def at(self) -> str:
        """
        Its address, for people.
        """
        return printable(self.address.value)

    def startService(self) -> None:
        """
        Answer Pings from now on.
        """
        super().startService()
        self.router.register(self.address, self)
        self._unwatch = self.router.peers.watch(self._peerChanged)
        self._looking.start(max(1.0, self.idle / 4), now=False)

    def stopService(self) -> None:
        """
        End every flow.
        """
        super().stopService()
        self.router.unregister(self.address)
        if self._unwatch is not None:
            self._unwatch()
        if self._looking.running:
            self._looking.stop()
        with self.router.turn:
            for each in self.flows:
                each.end()

    def drain(self) -> None:
        """
        Refuse new flows; those that are there go on.
        """
        self._draining = True

    def goOn(self) -> None:
        """
        Take new flows again.
        """
        self._draining = False

    def admit(self, admission: IAdmission | None) -> None:
        """
        From now on somebody else decides who may have flows.
        """
        self._decisions.admission = admission
        self._recheck(self.flows)

    def _peerChanged(self, encryptor: Address) -> None:
        self._recheck({each for each in self.flows if each.peer is not None and each.peer.encryptor == encryptor})

    def _recheck(self, flows: set[_Target]) -> None:
        with self.router.turn:
            for each in flows:
                peers, its = self.router.peers, each.peer
                now = None if its is None else peers.find(its.encryptor) or its
                isRefused = its is not None and peers.isRefused(its.encryptor)
                refusal = "it is not accepted any more" if isRefused else self._decisions.refusal(now)
                if refusal:
                    self._decisions.made(its, refusal, "keep")
                    each.end()

    def _look(self) -> None:
        """
        Which flows are idle?
        """
        now = self.clock.seconds()
        with self.router.turn:
            for each in self.flows:
                if now - each.flow.usedAt >= self.idle:
                    each.end()

    def ended(self, target: _Target) -> None:
        """
        A flow is over.
        """
        if self._known.pop(target.key, None) is not None:
            self._perPeer[target.who] -= 1
            if not self._perPeer[target.who]:
                del self._perPeer[target.who]

    def messageReceived(self, message: LocalMessage) -> None:
        """
        A Ping opens a flow.  See L{IWorker.messageReceived}.
        """
        back, peer = message.return_route, message.peerIdentity
        if not back or message.source is None or message.payload[:1] != PING:
            return
        try:
            terms = decodeTerms(message.payload)
        except DecodeError:
            return
        if terms is None or not terms.features & DATAGRAMS:
            self._answer(back, *REFUSAL)
            return
        refusal = self._decisions.refusal(peer)
        self._decisions.made(peer, refusal, "open")
        if refusal:
            self._answer(back, refused(POLICY, ""))
            return
        known = self._known.get(_key(peer, back))
        if known is not None:
            # It has asked again: the answer is late, or was lost.
            self._accept(known)
            return
        if self._draining or len(self._known) >= MAX_FLOWS or self._perPeer[_who(peer)] >= PER_PEER:
            reason = "the outlet is shutting down" if self._draining else f"there are {len(self._known)} already"
            self._decisions.refused(reason)
            self._answer(back, refused(REFUSED, ""))
            return
        self._open(message)

    def _open(self, ping: LocalMessage) -> None:
        back, peer, source = ping.return_route, ping.peerIdentity, ping.source
        assert source is not None
        target = _Target(self, back, peer)
        self._known[target.key] = target
        self._perPeer[target.who] += 1
        flowId = self.router.flowControls.producerId(source)
        host, port = self._target
        if isIPAddress(host) or isIPv6Address(host):
            self._connect(target, host, port, flowId)
            return

        def resolved(address: str) -> None:
            if not target.flow.isOver:
                self._connect(target, address, port, flowId)

        def failed(_: object) -> None:
            self._decisions.refused(f"no address of {host} is known")
            target.end()

        self.clock.resolve(host).addCallbacks(resolved, failed)

    def _connect(self, target: _Target, host: str, port: int, flowId: str | None) -> None:
        try:
            self._sockets.bindDatagrams(self.clock, target, 0, "::" if ":" in host else "")
        except (OSError, CannotListenError):
            self._decisions.refused("there is no socket for it")
            target.end()
            return
        target.at = (str(ip_address(host)), port)
        encryptor, back = target.key
        with self.router.turn:
            target.flow.listen(flowId)
            target.flow.connect(back, encryptor)
            self._accept(target)

    def _accept(self, target: _Target) -> None:
        if target.flow.isOpen:
            target.flow.answer(encodeTerms(PONG, Terms(DATAGRAMS, 0, self._instance, self._instance)))

    def _answer(self, back: Route, *messages: bytes) -> None:
        for message in messages:
            self.router.route(LocalMessage(back, Route((self.address,)), message), self.address)
