"""
A node: the rooms of this package, assembled.

This is the Python API.  C{examples/} shows it in use::

    node = await Node.create(reactor)
    node.createOutlet("outlet", "127.0.0.1:5000")
    await node.createInlet("4001", "outlet")
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IStreamClientEndpoint, IStreamServerEndpoint
from twisted.logger import Logger

from ockam_twisted.authority.answers import ENROLMENT_WORKERS
from ockam_twisted.authority.authority import Authority
from ockam_twisted.calendar import Calendar
from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.channels.listener import SecureChannelListener, createSecureChannel
from ockam_twisted.channels.party import Party
from ockam_twisted.draining import drain
from ockam_twisted.errors import LocalProtocolError
from ockam_twisted.identity.creation import loadOrCreate
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.interfaces import IAccessControl, IAdmission, ITarget, ITrustPolicy, IVault, IWay
from ockam_twisted.ops.status import Limits, NodeStatus
from ockam_twisted.places import Place, asRoute, clientEndpoint, serverEndpoint, trustPolicy
from ockam_twisted.portals.inlet import CONNECT_TIMEOUT, Inlet
from ockam_twisted.portals.outlet import Outlet, SocketTarget
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.relays.claims import Admits
from ockam_twisted.relays.client import Registration, RelayClient
from ockam_twisted.relays.service import RelayService
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.sessions.attempt import Walk
from ockam_twisted.sessions.liveness import Liveness
from ockam_twisted.sessions.session import StaticWay
from ockam_twisted.snapshot import (
    hopStatuses,
    memberStatuses,
    nameStatuses,
    portalStatuses,
    sessionStatuses,
    streamStatuses,
    ticketStatuses,
)
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.local import LocalSockets
from ockam_twisted.transports.pool import pooled
from ockam_twisted.transports.roads import dialRoad
from ockam_twisted.transports.service import TransportService
from ockam_twisted.transports.stalls import StallWatch
from ockam_twisted.upkeep import WayHost
from ockam_twisted.vault.software import SoftwareVault

#: The addresses that peers look for a secure-channel listener at.
LISTENER_ADDRESSES = ("api", "secure_channel_listener")


class Node(WayHost):
    """
    One node.

    @ivar router: Where its workers live.
    @ivar pool: Its sockets; what looks like its reactor to endpoints.
    @ivar transport: Its TCP transport.
    @ivar party: Its identity, once L{loadIdentity} is done.
    @ivar streamSettings: Of its portals.
    @ivar listening: The endpoint strings where it listens for other nodes.
    @ivar processes: L{ockam_twisted.processes.service.Processes}, of a relay that has several.
    """

    party: Party | None = None
    processes: Any = None
    _log = Logger()

    def __init__(self, reactor: Any, store: Any = None, name: str = "node", maxFrame: int = 1024 * 1024) -> None:
        """
        @param reactor: Time, sockets and threads.
        @param store: An L{ockam_twisted.interfaces.IIdentityStore} that is
            also an L{ockam_twisted.interfaces.INameStore}; by default one
            that keeps nothing.
        """
        super().__init__()
        self.name, self.reactor = name, reactor
        self.pool = pooled(reactor, self.router.turn.beginPass, self.router.turn.endPass)
        self.store = MemoryStore() if store is None else store
        self.vault: IVault = SoftwareVault(self.store)
        self.calendar = Calendar(reactor, store=self.store)
        self.calendar.setServiceParent(self)
        self.authority = Authority(self.store, self.calendar.now)
        self._began = reactor.seconds()
        self._stalls = StallWatch(reactor)
        self._stalls.setServiceParent(self)
        settings = HopSettings(self.router, reactor, self._stalls, maxFrame)
        self.transport = TransportService(settings)
        self.transport.setServiceParent(self)
        self.sockets = LocalSockets(self.router.turn, self._stalls)
        self.walk = Walk(self.router, reactor, self.transport, self.requireParty, partial(dialRoad, self.pool))
        liveness = Liveness(self.router, reactor, self.requireParty)
        liveness.setServiceParent(self)
        self.streamSettings = StreamSettings(reactor, lives=liveness.ask)
        self.watchNetwork()
        self._relays: list[RelayService] = []
        self.listening: list[str] = []
        self.startEcho(reactor)

    @classmethod
    async def create(cls, reactor: Any, store: Any = None, name: str = "node") -> Node:
        """
        Make a node with an identity, and start it.
        """
        node = cls(reactor, store, name)
        await node.loadIdentity()
        node.privilegedStartService()
        node.startService()
        return node

    async def loadIdentity(self) -> Identifier:
        """
        Take the identity from the store, or make one.
        """
        now = self.calendar.now
        identity, purposeKey = await loadOrCreate(self.vault, self.store, now())
        self.party = Party(
            self.vault, self.store, identity, purposeKey, now, until=self.calendar.at, remembers=self._remembers
        )
        return identity.identifier

    def _remembers(self, identifier: Identifier) -> bool:
        return self.authority.member(identifier) is not None or self.store.owned(identifier) > 0

    def requireParty(self) -> Party:
        """
        @raise LocalProtocolError: There is no identity yet.
        """
        if self.party is None:
            raise LocalProtocolError("the node has no identity yet")
        return self.party

    @property
    def identifier(self) -> Identifier:
        """
        Who this node is.
        """
        return self.requireParty().identity.identifier

    # ----------------------------------------------------------- transport

    def listen(self, endpoint: str | IStreamServerEndpoint) -> Deferred[IListeningPort]:
        """
        Accept connections of other nodes.
        """
        at = serverEndpoint(self.pool, endpoint) if isinstance(endpoint, str) else endpoint

        def listening(port: IListeningPort) -> IListeningPort:
            self.listening.append(str(endpoint))
            return port

        return self.transport.listen(at).addCallback(listening)

    async def connect(self, endpoint: str | IStreamClientEndpoint) -> Route:
        """
        Connect to another node, once.

        @param endpoint: Where: C{HOST:PORT}, an endpoint (string), or a MultiAddr of nothing but a connection.
        @return: The route to it.
        """
        if isinstance(endpoint, str):
            endpoint = clientEndpoint(self.pool, endpoint)
        hop = await self.transport.connect(endpoint)
        return Route((hop.address,))

    # ------------------------------------------------------------ channels

    def createSecureChannelListener(
        self,
        trust: ITrustPolicy,
        addresses: Iterable[str] = LISTENER_ADDRESSES,
        consumerOf: Iterable[str] | None = None,
        enrolment: ITrustPolicy | None = None,
    ) -> SecureChannelListener:
        """
        Answer handshakes.

        @param trust: Whom to accept.
        @param enrolment: Whom to accept for enrolment only.
        @param consumerOf: See L{addWorker<ockam_twisted.hosting.WorkerHost.addWorker>}; by default, who
            connects by TCP.
        """
        reachable = (self.transport.listenerId,) if consumerOf is None else tuple(consumerOf)
        at = tuple(map(Address.local, addresses))
        listener = SecureChannelListener(
            self.router,
            self.reactor,
            self.requireParty(),
            trust,
            at,
            enrolment=enrolment,
            enrolmentWorkers=ENROLMENT_WORKERS,
        )
        self._add(listener)
        for address in at:
            for flowId in reachable:
                self.router.flowControls.addConsumer(address, flowId)
        self.makeReachable("echo", (*reachable, listener.flowId))
        return listener

    def createSecureChannel(
        self, route: Place, authorized: Iterable[str] = (), trust: ITrustPolicy | None = None
    ) -> Deferred[SecureChannel]:
        """
        Make a secure channel to the listener at the end of a route.

        @param authorized: Whom we accept there, identifiers.
        @param trust: The same, as a policy.
        """
        return createSecureChannel(
            self.router, self.reactor, self.requireParty(), asRoute(route), trustPolicy(authorized, trust)
        )

    # ------------------------------------------------------------- portals

    def createOutlet(
        self,
        name: str,
        target: str | IStreamClientEndpoint | ITarget,
        consumerOf: Iterable[str] = (),
        incoming: IAccessControl | None = None,
        admission: IAdmission | None = None,
    ) -> Outlet:
        """
        Connect streams to a target.

        @param target: C{HOST:PORT}, an endpoint string, an endpoint or an
            L{ITarget}.
        @param consumerOf: See L{addWorker<ockam_twisted.hosting.WorkerHost.addWorker>}; our own inlets always reach it.
        """
        if isinstance(target, str):
            target = SocketTarget(self.router, self.sockets, clientEndpoint(self.pool, target), target)
        elif not ITarget.providedBy(target):
            target = SocketTarget(self.router, self.sockets, target, "of the outlet")
        at, settings = Address.local(name), self.streamSettings
        outlet = Outlet(self.router, self.reactor, target, at, incoming, admission=admission, settings=settings)
        self._add(outlet)
        self._portals.append(outlet)
        self.makeReachable(name, consumerOf)
        return outlet

    async def createInlet(
        self,
        endpoint: str | IStreamServerEndpoint,
        to: Place | IWay,
        connectTimeout: float = CONNECT_TIMEOUT,
    ) -> Inlet:
        """
        Accept clients, each a stream to an outlet.

        @param to: The route to the outlet, or a way that comes and goes.
        """
        way: IWay = to if IWay.providedBy(to) else StaticWay(asRoute(to))
        if isinstance(endpoint, str):
            endpoint = serverEndpoint(self.pool, endpoint)
        inlet = self.addInlet(way, connectTimeout)
        try:
            await inlet.listen(endpoint)
        except BaseException:
            await self.removePortal(inlet)
            raise
        return inlet

    def addInlet(self, way: IWay, connectTimeout: float = CONNECT_TIMEOUT, tellsClient: bool = False) -> Inlet:
        """
        An inlet that does not listen yet.

        @param tellsClient: Tell the outlet the addresses of clients.
        """
        inlet = Inlet(self.router, self.reactor, self.sockets, way, connectTimeout, settings=self.streamSettings)
        inlet.tellsClient = tellsClient
        self._portals.append(inlet)
        self._add(inlet)
        return inlet

    # -------------------------------------------------------------- relays

    def createRelayService(
        self,
        authorized: Iterable[str] | None = None,
        consumerOf: Iterable[str] | None = None,
        listener: SecureChannelListener | None = None,
        admits: Admits | None = None,
    ) -> RelayService:
        """
        Relay for others.

        @param authorized: Who may register; L{None}: anybody.
        @param consumerOf: See L{addWorker<ockam_twisted.hosting.WorkerHost.addWorker>}; by default, who
            connects by TCP.
        @param listener: Registrants may prove who they are through it.
        @param admits: Says why a registrant may not have a name.
        """
        ids = (self.transport.listenerId,) if consumerOf is None else tuple(consumerOf)
        ids += () if listener is None else (listener.flowId,)
        service = RelayService(
            router=self.router,
            clock=self.reactor,
            names=self.store,
            now=self.calendar.now,
            consumerIds=ids,
            authorized=None if authorized is None else frozenset(authorized),
            admits=admits,
            directory=None if self.processes is None else self.processes.directory,
        )
        self._add(service)
        self._relays.append(service)
        return service

    async def createRelay(self, route: Place, name: str | None = None, reachable: Iterable[str] = ()) -> Registration:
        """
        Register at a relay, once, without proof of who we are.

        @param route: To the relay's node.
        @param name: A name; by default the relay picks one.
        @param reachable: Names of our workers to be reached through it.
        @return: Its C{address} is what others route to, at the relay.
        """
        road = asRoute(route)
        registration = await RelayClient(self.router, self.reactor, road, name).register()
        flowId = self.router.flowControls.producerId(road[0])
        if flowId is not None:
            for worker in reachable:
                self.makeReachable(worker, (flowId,))
        return registration

    def status(self) -> NodeStatus:
        """A picture of this node as it is now."""
        now, today = self.reactor.seconds(), self.calendar.now()
        budget, settings, sessions = self._stalls.budget, self.streamSettings, self.sessions()
        return NodeStatus(
            str(self.name),
            str(self.identifier) if self.party is not None else "",
            tuple(self.listening),
            tuple(sessionStatuses(sessions, self._portals, now)),
            sum(len(portal.streams) for portal in self._portals),
            tuple(portalStatuses(self._portals, self.datagramPortals, [session for session, _ in sessions])),
            now - self._began,
            sum(len(relay.relays) for relay in self._relays),
            len(self.authority.members()),
            () if self.processes is None else self.processes.status(),
            tuple(streamStatuses(self._portals)),
            tuple(hopStatuses(self.transport.hops)),
            len(self.transport.hops),
            0 if self.party is None else sum(not getattr(each, "hasEnded", False) for each in self.party.channels),
            tuple(nameStatuses(self._relays)),
            tuple(ticketStatuses(self.authority, today)),
            tuple(memberStatuses(self.authority, today)),
            Limits((budget.used, budget.limit), (settings.budget.used, settings.budget.limit)),
            dict(self.router.dropped),
        )

    async def drain(self, timeout: float) -> None:
        """
        Begin nothing new, and let what there is come to its end.

        @param timeout: How long, seconds; what is left then is ended by
            L{stopService}.
        """
        await drain(self.reactor, timeout, self._portals, self._relays, self.transport)

    def stopService(self) -> Deferred[None]:
        """
        Stop in the reverse order of starting: portals first.  Of a node that
        does not run, only what listens already is stopped.
        """
        sockets = [self.transport, *(each for each in self._portals if isinstance(each, Inlet))]
        services = list(self) if self.running else sockets
        Service.stopService(self)

        async def stop() -> None:
            for service in reversed(services):
                try:
                    await maybeDeferred(service.stopService)
                except Exception:
                    self._log.failure(
                        "{service} did not stop as it should",
                        service=type(service).__name__,
                        event="service-stop-failed",
                    )
            for inlet in list(self._outlived):
                inlet.forget()

        return Deferred.fromCoroutine(stop())
