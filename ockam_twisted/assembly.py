"""
From a configuration to a running node: what the plugins start.

Three steps, because C{twistd} forks and changes its user in between:
L{ockam_twisted.checks} finds out before the start, leaving nothing open, what
is wrong; L{NodeService.privilegedStartService} binds;
L{NodeService.startService} opens the state and begins.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from ockam_twisted.administration import Administration
from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.checks import stateFolder
from ockam_twisted.config import InletConfig, NodeConfig, RegistrationConfig
from ockam_twisted.control import Control
from ockam_twisted.errors import OckamError, StateUnusable
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import TrustIdentifier
from ockam_twisted.node import LISTENER_ADDRESSES, Node
from ockam_twisted.offers import Offers, announce
from ockam_twisted.places import clientEndpoint, serverEndpoint
from ockam_twisted.portals.inlet import Inlet
from ockam_twisted.processes.service import Processes
from ockam_twisted.reception import Reception, inletTrust
from ockam_twisted.relays.client import Registration
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.choice import Choice
from ockam_twisted.sessions.destination import destinations, readPinnedWay
from ockam_twisted.sessions.enrolment import enrol
from ockam_twisted.sessions.registration import RegistrationAttempt
from ockam_twisted.sessions.retriever import CredentialRetriever, redeemedSetting
from ockam_twisted.sessions.session import Session
from ockam_twisted.storage.folder import StateFolder
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.storage.sqlite import SQLiteStore
from ockam_twisted.vault.opening import openVault, readPassphrase
from ockam_twisted.vault.pkcs11 import IN_TOKEN

#: What is noted of members that the options name.
BY_CONFIGURATION = "config"


class NodeService(MultiService):
    """
    A node as a configuration says.  It runs once: make another one to start
    again.

    @ivar node: The node.
    @ivar ready: Fires once, with why it could not start; with an empty text
        if it did.  The sessions then try by themselves.
    """

    _log = Logger()
    _folder: StateFolder | None = None
    _bound = False
    _starting: Deferred[None] | None = None
    _stopping: Deferred[None] | None = None

    def __init__(self, config: NodeConfig, reactor: Any) -> None:
        super().__init__()
        self._config = config
        self._reactor = reactor
        self.ready: Deferred[str] = Deferred()
        self._announced: set[str] = set()
        store: Any = MemoryStore()
        if not config.state.ephemeral:
            self._folder = stateFolder(config)
            store = SQLiteStore(self._folder.database, reactor)
        self._store = store
        self.node = Node(reactor, store, config.command, config.maxFrame)
        self.node.streamSettings.resumeTimeout = config.resumeTimeout
        if config.relayService is not None and config.relayService.processes > 1:
            processes = Processes(self.node.pool, self.node.router, self.node.transport, config.relayService.processes)
            self.node.processes = processes
            processes.setServiceParent(self.node)
        self._retriever: CredentialRetriever | None = None
        self._inlets: list[tuple[Inlet, str]] = []
        for inlet in config.inlets:
            self._inlets.append((self.node.addInlet(self._way(inlet), inlet.connectTimeout), inlet.listen))

    def _way(self, inlet: InletConfig) -> Choice:
        """
        The way to the outlets of an inlet.
        """
        node, ways = self.node, [readPinnedWay(each) for each in inlet.to]
        if inlet.isPaired:
            ticket = Ticket.fromText(inlet.ticket) if inlet.ticket else None
            return node.createPairedWay(ticket, ways, partial(self._say, "Paired with"), lambda: self._retriever)
        trust = None if inlet.saysWho else inletTrust(self._config, inlet.trust)
        return node.createWayTo(destinations(ways, trust))

    # --------------------------------------------------------------- start

    def privilegedStartService(self) -> None:
        """
        Bind every listener, while this process may.

        @raise StateUnusable: One of them cannot be had.
        """
        super().privilegedStartService()
        self._orStop(self._bindAll)

    def startService(self) -> None:
        """
        Open the state and begin.

        @raise OckamError: Something is in the way; nothing is left open.
        """
        self._orStop(super().startService)
        self._orStop(self._open)

    def _orStop(self, step: Callable[[], None]) -> None:
        try:
            step()
        except BaseException as error:
            self._conclude(str(error) or type(error).__name__)
            self.stopService()
            raise

    def _open(self) -> None:
        # C{twist} has no privileged step.
        self._bindAll()
        if self._folder is not None:
            self._folder.open()
            self._store.open()
        starting = self._starting = Deferred.fromCoroutine(self._start())
        if starting.called and isinstance(starting.result, Failure):
            failure = starting.result
            starting.addErrback(lambda _: None)
            failure.raiseException()
        starting.addCallbacks(lambda _: self._conclude(""), self._failed)

    def _bindAll(self) -> None:
        if self._bound:
            return
        self._bound = True
        for text in self._config.listeners:
            self._bind(self.node.listen(text), text)
        for inlet, text in self._inlets:
            self._bind(inlet.listen(serverEndpoint(self.node.pool, text)), text)

    def _bind(self, binding: Deferred[IListeningPort], text: str) -> None:
        failures: list[Failure] = []

        def listening(port: IListeningPort) -> None:
            if self._stopping is not None:
                maybeDeferred(port.stopListening)
            else:
                at: Any = port.getHost()
                where = f"{at.host}:{at.port}" if hasattr(at, "port") else str(at)
                self._log.info("Listening on {where}", where=where, event="listening")

        def failed(failure: Failure) -> None:
            value = failure.value
            error = value.socketError if isinstance(value, CannotListenError) else value
            why = Failure(StateUnusable(f"cannot listen on {text}: {getattr(error, 'strerror', None) or error}"))
            if not atOnce:
                self._failed(why)
            failures.append(why)

        atOnce = True
        binding.addCallbacks(listening, failed)
        atOnce = False
        if failures:
            failures[0].raiseException()

    def _conclude(self, reason: str) -> None:
        if not self.ready.called:
            self.ready.callback(reason)

    def _failed(self, failure: Failure) -> None:
        """
        Something has failed that could not be known in L{startService}.
        """
        if self._stopping is not None:
            return
        if failure.check(OckamError):
            self._log.critical("Cannot start: {reason}", reason=failure.getErrorMessage(), event="start-failed")
        else:
            self._log.failure("Cannot start: {reason}", failure, reason=failure.getErrorMessage(), event="start-failed")
        self._conclude(failure.getErrorMessage())
        self._reactor.callLater(0, self._reactor.stop)

    async def _start(self) -> None:
        config, node = self._config, self.node
        state = config.state
        if not state.ephemeral:
            passphrase = readPassphrase(state.passphrase, os.environ)
            node.vault = await openVault(self._reactor, self._store, state.vault, passphrase)
        identifier = await node.loadIdentity()
        self._say("Identifier", str(identifier))
        if state.vault and not node.requireParty().identity.signingKey.startswith(IN_TOKEN):
            self._log.warn(
                "--vault: the key of this identity was made in the state folder and is still there; "
                "`ockam-twisted identity rotate --command {command}` while this node runs makes one in the token",
                command=config.command,
                event="key-outside-token",
            )
        if config.trust.everyone and config.outlets:
            self._log.warn(
                "--trust-everyone: whoever knows the way to this node can use what it offers", event="everyone-may-use"
            )
        if any(inlet.trust.everyone for inlet in config.inlets):
            self._log.warn(
                "--trust-everyone: whoever is at the end of the way can read and answer what clients send",
                event="everyone-may-answer",
            )
        administration = Administration(node.authority, self._store, identifier, config.command, node.calendar.now)
        administration.tasks["identity rotate"] = self._rotate
        administration.tasks["status"] = lambda: node.status().asJSON()
        offers = Offers(config, node, administration, self._say)
        node.calendar.setBack.append(self._clockSetBack)
        reception = Reception(config, node, self._reactor)
        self._retriever = reception.retrieve()
        node.calendar.checkNewest()
        await self._addInitialMembers()
        # An inlet has nobody to answer: it runs no listener.
        if config.outlets or config.relayService is not None or config.authorityService is not None:
            self._offer(reception.open())
            if config.allowEcho:
                node.restrictEcho(reception.admission(config.allowEcho, "echo"))
        for number, registration in enumerate(config.registrations):
            self._register(registration, number, offers)
        if self._folder is not None:
            Control(self._reactor, self._folder.path, administration).setServiceParent(node)
        node.setServiceParent(self)
        offers.setServiceParent(node)

    def _rotate(self) -> Deferred[dict[str, str]]:
        """
        Replace the key of the identity, while everything goes on.
        """

        async def rotate() -> dict[str, str]:
            party = self.node.requireParty()
            await party.rotate()
            count = len(party.identity.history.changes)
            self._log.info(
                "The key of this identity is another: number {count}", count=count, audit="changed", event="key-rotated"
            )
            return {"identifier": str(party.identity.identifier), "changes": str(count)}

        return Deferred.fromCoroutine(rotate())

    def _clockSetBack(self) -> None:
        count = self.node.authority.expireTokens()
        if count:
            self._log.warn(
                "{count} tickets count no more: make new ones", count=count, event="tickets-void", audit="changed"
            )
        if self._retriever is not None:
            self._retriever.expire()

    async def _addInitialMembers(self) -> None:
        service = self._config.authorityService
        authority = self.node.authority
        if service is None:
            return
        named: dict[Identifier, dict[bytes, bytes]] = {}
        for text, attributes in service.members:
            its = named.setdefault(Identifier.parse(text), {})
            its.update((name.encode(), value.encode()) for name, value in attributes)
        for identifier, its in named.items():
            pairs = tuple(sorted(its.items()))
            member = authority.member(identifier)
            if member is None or member.attributes != pairs:
                await authority.addMember(identifier, pairs, BY_CONFIGURATION)
        for member in authority.members():
            if member.addedBy == BY_CONFIGURATION and member.identifier not in named:
                # --enroller or --members names it no more.
                await authority.removeMember(member.identifier, BY_CONFIGURATION)

    def _offer(self, listenerFlow: str) -> None:
        """
        The workers that are there only when asked for.
        """
        reachable = (self.node.transport.listenerId, listenerFlow)
        if self._config.uppercase:
            self.node.startUppercase(reachable)
        if self._config.hop:
            self.node.startHop(reachable)

    # ------------------------------------------------------- registrations

    def _register(self, registration: RegistrationConfig, number: int, offers: Offers) -> None:
        node = self.node
        pin, enrolling, ticket = None, None, Ticket.fromText(registration.ticket) if registration.ticket else None
        if ticket is not None and ticket.peer is not None:
            pin = TrustIdentifier(ticket.peer)
            relay: Any = MultiAddr(list(ticket.ways[0])[:-1])
            if self._store.setting(redeemedSetting(ticket.digest)) is None:
                enrolling = partial(self._enrolAtRelay, ticket)
        elif registration.relay.startswith("/"):
            relay = MultiAddr.fromText(registration.relay)
        else:
            relay = clientEndpoint(node.pool, registration.relay)
        label = f"relay {registration.label}"

        def reachable(flowId: str) -> None:
            for name in (*LISTENER_ADDRESSES, "echo"):
                node.makeReachable(name, (flowId,))

        def registered(made: Registration) -> None:
            offers.registered(number, made.address.value.decode("ascii"))

        def proven(identifier: str) -> None:
            self._relayProven(registration.relay, label, identifier)

        name = registration.name or str(node.identifier)
        attempt = RegistrationAttempt(
            node.walk, relay, label, name, reachable, registered, proven, pin=pin, enrol=enrolling
        )
        node.addSession(Session(self._reactor, attempt, label))

    async def _enrolAtRelay(self, ticket: Ticket) -> None:
        assert ticket.peer is not None and ticket.code is not None
        await enrol(self.node.walk, ticket.ways[0], ticket.peer, ticket.code)
        await self._store.storeSetting(redeemedSetting(ticket.digest), b"")

    def _relayProven(self, relay: str, label: str, identifier: str) -> None:
        """
        A relay is not trusted, but that it is another one is worth a line.
        """
        setting = f"relay-identity:{relay}"
        before = self._store.setting(setting)
        if before is not None and before != identifier.encode("ascii"):
            self._log.warn(
                "{label} has another identity than before: {now} instead of {before}",
                label=label,
                now=identifier,
                before=before.decode("ascii", "replace"),
                event="relay-identity-changed",
                audit="changed",
            )
        if before != identifier.encode("ascii"):
            self._store.storeSetting(setting, identifier.encode("ascii")).addErrback(
                lambda failure: self._log.warn(
                    "The identity of {label} was not stored: {reason}",
                    label=label,
                    reason=failure.getErrorMessage(),
                    event="relay-identity-not-stored",
                )
            )

    def _say(self, label: str, value: str) -> None:
        line = f"{label}: {value}"
        if line not in self._announced:
            self._announced.add(line)
            announce(label, value)
            self._log.info("{label}: {value}", label=label, value=value, event="announced")

    # ---------------------------------------------------------------- stop

    def stopService(self) -> Deferred[None]:
        """
        Drain, then close the state.

        @return: Fires when nothing is open any more, also for those who ask
            again.
        """
        Service.stopService(self)
        if self._stopping is None:
            self._stopping = Deferred()
            Deferred.fromCoroutine(self._stop()).addErrback(
                lambda failure: self._log.failure(
                    "The state was not closed as it should", failure, event="state-not-closed"
                )
            ).chainDeferred(self._stopping)
        stopped: Deferred[None] = Deferred()

        def tell(result: None) -> None:
            stopped.callback(None)

        self._stopping.addCallback(tell)
        return stopped

    async def _stop(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
        self._conclude("it was stopped before it was ready")
        await self.node.drain(self._config.drainTimeout)
        await self.node.stopService()
        # What shows the node shows its end, too.
        await gatherResults([maybeDeferred(each.stopService) for each in self if each is not self.node])
        if self._folder is not None:
            await self._store.close()
            self._folder.close()
