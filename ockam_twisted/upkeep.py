"""
What a node keeps alive: sessions, the ways that are made of them, and the
portals over these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import Any
from weakref import WeakSet

from twisted.internet.defer import Deferred, maybeDeferred

from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.clocks import ClockWatch
from ockam_twisted.hosting import WorkerHost
from ockam_twisted.interfaces import IAdmission, ITrustPolicy, IWay
from ockam_twisted.places import Place, asRoute, checkSecure, trustPolicy
from ockam_twisted.portals.datagraminlet import DatagramInlet
from ockam_twisted.portals.datagramoutlet import DatagramOutlet
from ockam_twisted.portals.datagrams import IDLE, datagramAddress
from ockam_twisted.portals.inlet import Inlet
from ockam_twisted.portals.outlet import Outlet
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import Walk
from ockam_twisted.sessions.choice import Choice
from ockam_twisted.sessions.destination import (
    Destination,
    OutletSession,
    PinnedWay,
    Straighten,
    destinations,
    readPinnedWay,
    rotationTo,
    sessionsTo,
)
from ockam_twisted.sessions.direct import DirectAttempt
from ockam_twisted.sessions.negotiation import NegotiationService, Punctures
from ockam_twisted.sessions.pairing import PairedAttempt, Pairing
from ockam_twisted.sessions.retriever import CredentialRetriever
from ockam_twisted.sessions.session import Session, StaticWay
from ockam_twisted.transports.local import LocalSockets
from ockam_twisted.transports.network import NetworkWatch
from ockam_twisted.transports.service import TransportService

#: Makes the sessions of a way.
MakeSessions = Callable[[], "list[OutletSession]"]


class WayHost(WorkerHost):
    """
    See the module.

    @ivar reactor: Time, sockets and threads.
    @ivar store: Where it is kept what must not be forgotten.
    @ivar walk: How the node gets about.
    @ivar sockets: For portals.
    @ivar transport: Makes hops.
    @ivar streamSettings: Of its portals.
    @ivar datagramPortals: Those for UDP.
    """

    reactor: Any
    store: Any
    walk: Walk
    sockets: LocalSockets
    transport: TransportService
    streamSettings: StreamSettings

    def __init__(self) -> None:
        super().__init__()
        self._sessions: list[Session] = []
        self._choices: list[Choice] = []
        self._portals: list[Inlet | Outlet] = []
        self._outlived: WeakSet[Inlet] = WeakSet()
        self.datagramPortals: list[DatagramInlet | DatagramOutlet] = []

    @cached_property
    def punctures(self) -> Punctures:
        """
        Finds direct ways to other nodes, once its C{rendezvous} is set.
        """
        return Punctures(self.reactor)

    def startNegotiation(self, consumerOf: Iterable[str] = ()) -> NegotiationService:
        """
        Answer those who ask for a direct way to this node.

        @param consumerOf: See L{addWorker<ockam_twisted.hosting.WorkerHost.addWorker>}: of secure-channel listeners.
        """
        negotiation = NegotiationService(self.punctures, self.router, self.transport, tuple(consumerOf))
        self._add(negotiation)
        return negotiation

    def watchNetwork(self) -> None:
        """
        Follow what becomes of the network and of the clock.
        """
        NetworkWatch(self.reactor, self._networkChanged).setServiceParent(self)
        ClockWatch(self.reactor, self._networkChanged).setServiceParent(self)

    def _networkChanged(self) -> None:
        for session, _ in self.sessions():
            session.networkChanged()

    def sessions(self) -> list[tuple[Session, bool]]:
        """
        All sessions, and whether new streams of an inlet go over each.
        """
        alone = [(session, False) for session in self._sessions]
        return alone + [(session, session is choice.chosen) for choice in self._choices for session in choice.sessions]

    def addSession(self, session: Session) -> Session:
        """
        Keep something alive for as long as the node runs.
        """
        self._sessions.append(session)
        self._add(session)
        return session

    def addChoice(self, make: MakeSessions) -> Choice:
        """
        Keep the ways to several outlets alive.

        @param make: See L{Choice}.
        """
        choice = Choice(make)
        self._choices.append(choice)
        self._add(choice)
        return choice

    def createDatagramOutlet(
        self,
        name: str,
        target: tuple[str, int],
        consumerOf: Iterable[str] = (),
        admission: IAdmission | None = None,
        idle: float = IDLE,
    ) -> DatagramOutlet:
        """
        Pass datagrams on to a target.

        @param name: The address of the outlet for streams, whether there is one or not.
        @param target: Host and port.
        @param consumerOf: See L{addWorker<ockam_twisted.hosting.WorkerHost.addWorker>}.
        @param admission: Who may have flows.
        @param idle: Seconds without a datagram after which a flow ends.
        """
        address, settings = datagramAddress(name), self.streamSettings
        outlet = DatagramOutlet(
            self.router, self.reactor, self.sockets, Address.local(address), target, settings, admission, idle
        )
        self._add(outlet)
        self.datagramPortals.append(outlet)
        self.makeReachable(address, consumerOf)
        return outlet

    def createDatagramInlet(self, at: tuple[str, int], to: Place | IWay, idle: float = IDLE) -> DatagramInlet:
        """
        Hear datagrams of clients, and pass them on to an outlet.

        @param at: Address and port to hear at.
        @param to: The route to the outlet for streams, or a way that comes
            and goes.
        @raise CannotListenError: The port cannot be had.
        """
        way: IWay = to if IWay.providedBy(to) else StaticWay(asRoute(to))
        inlet = DatagramInlet(self.router, self.reactor, self.sockets, way, self.streamSettings.instance, idle)
        inlet.listen(at[1], at[0])
        self.datagramPortals.append(inlet)
        self._add(inlet)
        return inlet

    def removeDatagramPortal(self, portal: DatagramInlet | DatagramOutlet) -> Deferred[None]:
        """
        End one, with all its flows.
        """
        self.datagramPortals.remove(portal)
        return maybeDeferred(self.removeService, portal)

    def removeSession(self, session: Session) -> None:
        """
        Keep it alive no more.
        """
        self._sessions.remove(session)
        self.removeService(session)

    def removePortal(self, portal: Inlet | Outlet) -> Deferred[None]:
        """
        End an inlet or outlet, with all its streams, while the node goes on.

        @return: Fires once it listens no more.
        """
        self._portals.remove(portal)
        if isinstance(portal, Inlet):
            portal.isOutlived = True
            self._outlived.add(portal)
        return maybeDeferred(self.removeService, portal)

    def removeChoice(self, choice: Choice) -> None:
        """
        Keep these ways alive no more.
        """
        self._choices.remove(choice)
        self.removeService(choice)

    def createWay(
        self,
        to: MultiAddr | str | Iterable[MultiAddr | str],
        authorized: Iterable[str] = (),
        trust: ITrustPolicy | None = None,
    ) -> Choice:
        """
        Keep a way alive: connections and channels as a MultiAddr names them.

        @param to: A MultiAddr, C{IDENTIFIER@MULTIADDR}, or several: ways to
            one outlet, or outlets of one service, see
            L{ockam_twisted.sessions.destination.destinations}.
        @param authorized: Who must be at the end of the last channel of a way
            that does not say it.
        @raise LocalProtocolError: There is none, and not everyone is trusted.
        """
        given = [to] if isinstance(to, (str, MultiAddr)) else to
        ways = [(None, each) if isinstance(each, MultiAddr) else readPinnedWay(each) for each in given]
        policy = trustPolicy(authorized, trust) if any(who is None for who, _ in ways) else None
        return self.createWayTo(destinations(ways, policy))

    def createWayTo(self, them: tuple[Destination, ...]) -> Choice:
        """
        The same, of outlets that are known.

        @raise LocalProtocolError: See L{createWay}.
        """
        return self.addChoice(self.wayTo(them))

    def wayTo(self, them: tuple[Destination, ...], walk: Walk | None = None, name: str = "") -> MakeSessions:
        """
        @param name: Of the inlet.
        @param walk: How to get there, if not as the node does.
        @return: Makes the sessions of a way to outlets that are known.
        @raise LocalProtocolError: See L{createWay}.
        """
        for destination in them:
            for way in destination.ways:
                checkSecure(way, destination.trust)

        def attempt(number: int, destination: Destination) -> Any:
            return rotationTo(walk or self.walk, destination)

        return partial(sessionsTo, self.reactor, them, attempt, name, self._straightener(walk))

    def _straightener(self, walk: Walk | None) -> Straighten:
        return partial(DirectAttempt, walk or self.walk, self.punctures)

    def createPairedWay(
        self,
        ticket: Ticket | None,
        ways: Iterable[PinnedWay] = (),
        paired: Callable[[str], object] = lambda identifier: None,
        retriever: Callable[[], CredentialRetriever | None] = lambda: None,
    ) -> Choice:
        """
        Keep the way alive to whom a ticket names, now or at an earlier start.

        @param ways: To the outlets, if not as the ticket says.
        @param paired: Told who the outlet is, once the ticket was accepted.
        @param retriever: See L{PairedAttempt}.
        """
        return self.addChoice(self.pairedWay(ticket, ways, paired, retriever))

    def pairedWay(
        self,
        ticket: Ticket | None,
        ways: Iterable[PinnedWay],
        paired: Callable[[str], object],
        retriever: Callable[[], CredentialRetriever | None],
        name: str = "",
        walk: Walk | None = None,
    ) -> MakeSessions:
        """
        @param name: Of the inlet.
        @param walk: See L{wayTo}.
        @return: Makes the sessions of such a way.
        """
        pairing = Pairing(self.store, ticket, ways, name)

        def attempt(number: int, destination: Destination) -> PairedAttempt:
            return PairedAttempt(walk or self.walk, pairing, number, paired, retriever)

        def make() -> list[OutletSession]:
            return sessionsTo(self.reactor, pairing.outlets(), attempt, name, self._straightener(walk))

        return make
