"""
Portals as Twisted endpoints, and their endpoint strings.

A server without a listening port, reached through a relay::

    serverFromString(reactor, "ockam:relay=relay.example\\:4000:authorized=I3f...")

and its client, without a local port::

    clientFromString(reactor, "ockam:to=/dnsaddr/relay.example/tcp/4000/service/forward_to_I3f.../secure/api/service/"
                              "outlet:authorized=I3f...")

An endpoint owns a node, which is started at first use and stopped with its
last port or connection.  The node keeps its identity in C{state=DIR}; without
that it has a new one each time.  C{authorized} may list several identifiers
joined by commas; C{trust=everyone} accepts anybody instead.

C{to} may list several ways joined by commas, each with the identifier that must
be at its end: C{to=I3f...@/dnsaddr/...,I77...@/dnsaddr/...}.  Those to the same
identifier are several ways to one outlet, others lead to further outlets of
the same service.

A client is also paired by a ticket of C{ockam-outlet}, once::

    clientFromString(reactor, "ockam:ticket=@ticket.txt:state=/var/lib/app/ockam")
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from zope.interface import implementer

from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.errors import ConfigurationError
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifiers
from ockam_twisted.interfaces import ITrustPolicy
from ockam_twisted.node import LISTENER_ADDRESSES, Node
from ockam_twisted.places import checkRoad, checkWay, clientEndpoint, serverEndpoint, trustPolicy
from ockam_twisted.portals.inlet import Inlet
from ockam_twisted.portals.transport import FactoryTarget, PortalAddress, openStream
from ockam_twisted.relays.client import Registration
from ockam_twisted.relays.names import checkRelayName
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.destination import PinnedWay, destinations, readPinnedWay
from ockam_twisted.sessions.registration import RegistrationAttempt
from ockam_twisted.sessions.session import Session
from ockam_twisted.storage.folder import StateFolder
from ockam_twisted.storage.sqlite import SQLiteStore

#: Stands between two ways in C{to=}: names of workers may have commas, too.
_WAYS = re.compile(",(?=/|I[0-9A-Fa-f]{64}@)")


class OwnedNode:
    """
    A node that lives as long as somebody uses it.
    """

    def __init__(self, reactor: Any, state: str = "") -> None:
        """
        @param state: The state folder; empty to keep nothing.
        """
        self._reactor = reactor
        self._folder = StateFolder(state) if state else None
        self._store: SQLiteStore | None = None
        self.node: Node | None = None

    async def start(self, name: str) -> Node:
        """
        Start it.

        @raise StateUnusable: The state folder cannot be used.
        """
        if self._folder is not None:
            self._folder.open()
            self._store = SQLiteStore(self._folder.database, self._reactor)
            self._store.open()
        self.node = await Node.create(self._reactor, self._store, name)
        return self.node

    async def stop(self) -> None:
        """
        Stop it.
        """
        node, self.node = self.node, None
        if node is not None:
            await node.stopService()
        if self._store is not None:
            await self._store.close()
        if self._folder is not None:
            self._folder.close()


@implementer(IListeningPort)
class OutletPort:
    """
    What L{OutletEndpoint.listen} gives: stopping it stops the node.

    @ivar forwardingAddress: The relay address, where there is a relay.
    @ivar identifier: Who the node is.
    """

    def __init__(self, owned: OwnedNode, factory: IProtocolFactory, identifier: str, forwardingAddress: str) -> None:
        self._owned = owned
        self._factory = factory
        self.identifier = identifier
        self.forwardingAddress = forwardingAddress

    def startListening(self) -> None:
        """
        It is listening already.
        """

    def stopListening(self) -> Deferred[None]:
        """
        End every stream and stop the node.
        """
        self._factory.doStop()
        return Deferred.fromCoroutine(self._owned.stop())

    def getHost(self) -> PortalAddress:
        """
        Where it is reached.
        """
        return PortalAddress(self.forwardingAddress or "outlet", self.identifier)


@implementer(IStreamServerEndpoint)
class OutletEndpoint:
    """
    Listens with an outlet: through a relay, on a port for other nodes, or
    both.
    """

    def __init__(
        self,
        reactor: Any,
        trust: ITrustPolicy,
        relay: str = "",
        listen: str = "",
        name: str = "",
        address: str = "outlet",
        state: str = "",
    ) -> None:
        """
        @param trust: Which inlets are accepted.
        @param relay: A relay to register at, C{HOST:PORT} or a MultiAddr.
        @param listen: A place for other nodes to connect to.
        @param name: The relay name; by default the node's identifier.
        @param address: The outlet's address.
        @param state: The state folder; empty to keep nothing.
        @raise OckamError: Something is missing, or is not what it should be.
        """
        if not relay and not listen:
            raise ConfigurationError("nobody can reach it: an ockam: server needs relay=HOST\\:PORT or listen=PORT")
        if name and not relay:
            raise ConfigurationError("name= is a name at a relay: give relay=HOST\\:PORT, too")
        if name:
            checkRelayName(name)
        if relay.startswith("/"):
            checkRoad(MultiAddr.fromText(relay), "relay=")
        elif relay:
            clientEndpoint(reactor, relay, "relay=")
        if listen:
            serverEndpoint(reactor, listen, "listen=")
        self._reactor = reactor
        self._trust = trust
        self._relay = relay
        self._listen = listen
        self._name = name
        self._address = address
        self._state = state

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """
        Start the node.

        @return: Fires once the outlet can be reached.
        """
        return Deferred.fromCoroutine(self._start(protocolFactory))

    async def _start(self, factory: IProtocolFactory) -> IListeningPort:
        owned = OwnedNode(self._reactor, self._state)
        try:
            node = await owned.start("outlet")
            listener = node.createSecureChannelListener(self._trust)
            target = FactoryTarget(node.router, self._reactor, factory, "this program")
            node.createOutlet(self._address, target, (listener.flowId,))
            if self._listen:
                await node.listen(self._listen)
            forwarding = ""
            if self._relay:
                forwarding = (await self._register(node)).address.value.decode("ascii")
        except BaseException:
            await owned.stop()
            raise
        factory.doStart()
        return OutletPort(owned, factory, str(node.identifier), forwarding)

    def _register(self, node: Node) -> Deferred[Registration]:
        first: Deferred[Registration] = Deferred()

        def registered(registration: Registration) -> None:
            if not first.called:
                first.callback(registration)

        def reachable(flowId: str) -> None:
            for worker in (*LISTENER_ADDRESSES, "echo"):
                node.makeReachable(worker, (flowId,))

        isMultiAddr = self._relay.startswith("/")
        relay = MultiAddr.fromText(self._relay) if isMultiAddr else clientEndpoint(self._reactor, self._relay)
        name = self._name or str(node.identifier)
        attempt = RegistrationAttempt(node.walk, relay, f"relay {self._relay}", name, reachable, registered)
        node.addSession(Session(self._reactor, attempt, f"relay {self._relay}"))
        return first


@implementer(IStreamClientEndpoint)
class InletEndpoint:
    """
    Connects through an outlet.  All connections of one endpoint share a node
    and a way.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        to: Sequence[PinnedWay],
        trust: ITrustPolicy | None,
        state: str = "",
        ticket: Ticket | None = None,
    ) -> None:
        """
        @param to: Ways to outlets; none: as the ticket says.
        @param trust: Who must be at the end of those that do not say it;
            L{None}: as the ticket says, or an earlier one whose pairing is in
            C{state}.
        @param state: The state folder; empty to keep nothing.
        @param ticket: Of an outlet; it may have been redeemed before.
        @raise LocalProtocolError: C{to} leads to no outlet, or to one that
            cannot prove who it is.
        """
        for who, way in to:
            checkWay(way, TrustIdentifiers(()) if who is not None or trust is None else trust, "to=")
        isPaired = ticket is not None or not to or (trust is None and not all(who for who, _ in to))
        if isPaired and not state:
            raise ConfigurationError("a pairing has to be kept somewhere: give state=FOLDER")
        self._destinations = () if isPaired else destinations(to, trust)
        self._ticket = ticket
        self._to = tuple(to)
        self._owned = OwnedNode(reactor, state)
        self._users = 0
        self._starting: _Shared | None = None
        self._stopping: _Shared | None = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Open one stream.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        self._users += 1
        try:
            inlet = await self._inlet()
        except BaseException:
            self._release()
            raise
        return await openStream(inlet, factory, lost=self._release)

    async def _inlet(self) -> Inlet:
        if self._stopping is not None:
            await self._stopping.wait()
        if self._starting is None:
            self._starting = _Shared(Deferred.fromCoroutine(self._start()))
        inlet = await self._starting.wait()
        assert isinstance(inlet, Inlet)
        return inlet

    async def _start(self) -> Inlet:
        node = await self._owned.start("inlet")
        if self._destinations:
            return node.addInlet(node.createWayTo(self._destinations))
        return node.addInlet(node.createPairedWay(self._ticket, self._to))

    def _release(self) -> None:
        self._users -= 1
        if not self._users and self._starting is not None:
            starting, self._starting = self._starting, None
            starting.cancel()
            stopping = Deferred.fromCoroutine(self._owned.stop())
            stopping.addErrback(
                lambda failure: self._log.failure(
                    "The node did not stop as it should", failure, event="node-stop-failed"
                )
            )
            self._stopping = _Shared(stopping)


class _Shared:
    """
    What several wait for, each of whom may give up alone.
    """

    def __init__(self, original: Deferred[Any]) -> None:
        self._original = original
        self._waiting: list[Deferred[Any]] = []
        self._outcome: list[Any] = []
        original.addBoth(self._fired)

    def wait(self) -> Deferred[Any]:
        """
        One more waits.
        """
        waiting: Deferred[Any] = Deferred()
        if self._outcome:
            waiting.callback(self._outcome[0])
        else:
            self._waiting.append(waiting)
        return waiting

    def cancel(self) -> None:
        """
        Nobody waits any more.
        """
        self._original.cancel()

    def _fired(self, outcome: Any) -> None:
        self._outcome.append(outcome)
        for each in self._waiting:
            each.callback(outcome)


def _trust(authorized: str, trust: str) -> ITrustPolicy:
    if trust not in ("", "everyone") or bool(trust) == bool(authorized):
        raise ConfigurationError("give authorized=IDENTIFIER (several joined by commas), or trust=everyone")
    return TrustEveryone() if trust else trustPolicy(_split(authorized))


def _split(text: str) -> Iterable[str]:
    return (each for each in text.split(",") if each)


def parseServer(
    reactor: Any,
    relay: str = "",
    listen: str = "",
    name: str = "",
    address: str = "outlet",
    authorized: str = "",
    trust: str = "",
    state: str = "",
) -> OutletEndpoint:
    """
    C{ockam:relay=HOST\\:PORT:authorized=IDENTIFIER} for servers; see
    L{OutletEndpoint}.

    @raise ConfigurationError: Something is missing or in conflict.
    """
    return OutletEndpoint(reactor, _trust(authorized, trust), relay, listen, name, address, state)


def parseClient(
    reactor: Any, to: str = "", authorized: str = "", trust: str = "", state: str = "", ticket: str = ""
) -> InletEndpoint:
    """
    C{ockam:to=MULTIADDR:authorized=IDENTIFIER} for clients, or
    C{ockam:ticket=@FILE:state=FOLDER}, and from then on C{ockam:state=FOLDER};
    see L{InletEndpoint}.

    @raise ConfigurationError: Something is missing or in conflict.
    """
    ways = [readPinnedWay(each) for each in _WAYS.split(to) if each]
    saysWho = bool(ways) and all(who is not None for who, _ in ways)
    if authorized or trust or not (ticket or state or saysWho):
        if ticket:
            raise ConfigurationError("a ticket says who the outlet is: it excludes authorized= and trust=")
        return InletEndpoint(reactor, ways or [readPinnedWay(to)], _trust(authorized, trust), state)
    if ticket.startswith("@"):
        try:
            with open(ticket[1:], encoding="ascii", errors="replace") as file:
                ticket = file.read(16 * 1024)
        except OSError as error:
            raise ConfigurationError(f"ticket=: cannot read {ticket[1:]}: {error.strerror}") from None
    return InletEndpoint(reactor, ways, None, state, Ticket.fromText(ticket) if ticket else None)
