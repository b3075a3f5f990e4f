"""
From a configuration to a running node: what the plugins start.

Three steps, because C{twistd} forks and changes its user in between:
L{check} finds out before the start, leaving nothing open, what is wrong;
L{NodeService.privilegedStartService} binds; L{NodeService.startService} opens
the state and begins.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from ockam_twisted.config import NodeConfig, RegistrationConfig, TrustConfig
from ockam_twisted.errors import ConfigurationError, OckamError, StateUnusable
from ockam_twisted.identity.creation import IDENTITY, storedIdentifier
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.interfaces import ITrustPolicy
from ockam_twisted.node import LISTENER_ADDRESSES, Node
from ockam_twisted.places import checkFree, checkRoad, checkWay, clientEndpoint, serverEndpoint
from ockam_twisted.places import trustPolicy as trustIn
from ockam_twisted.portals.inlet import Inlet
from ockam_twisted.portals.outlet import SocketTarget
from ockam_twisted.relays.client import Registration
from ockam_twisted.relays.names import checkRelayName
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.attempt import RegistrationAttempt
from ockam_twisted.sessions.session import Session
from ockam_twisted.storage.folder import StateFolder, defaultStateFolder
from ockam_twisted.storage.memory import MemoryStore
from ockam_twisted.storage.sqlite import SQLiteStore, readSetting

#: Addresses of the node itself, which no outlet can have.
OWN_ADDRESSES = (*LISTENER_ADDRESSES, "echo", "uppercase", "hop")


def checkNames(config: NodeConfig, reactor: Any) -> None:
    """
    Check everything that is a name.  No socket is touched, and of files only
    those that endpoint strings name.

    @raise OckamError: One of them is none.
    """
    if config.relayService is not None:
        for identifier in config.relayService.authorized:
            Identifier.parse(identifier)
    if config.outlets or config.relayService is not None:
        trustPolicy(config.trust)
    for inlet in config.inlets:
        checkWay(MultiAddr.fromText(inlet.to), trustPolicy(inlet.trust), "--to")
        serverEndpoint(reactor, inlet.listen)
    for registration in config.registrations:
        if registration.name:
            checkRelayName(registration.name)
        if registration.relay.startswith("/"):
            checkRoad(MultiAddr.fromText(registration.relay), "--relay")
        else:
            clientEndpoint(reactor, registration.relay)
    taken = set(OWN_ADDRESSES)
    for outlet in config.outlets:
        if not outlet.address or Address.local(outlet.address).value.decode() in taken:
            raise ConfigurationError(f"--address: {outlet.address!a} is taken by another service of the node")
        taken.add(outlet.address)
        clientEndpoint(reactor, outlet.target)
    for listener in config.listeners:
        serverEndpoint(reactor, listener)
    if not config.state.ephemeral:
        stateFolder(config)


def stateFolder(config: NodeConfig) -> StateFolder:
    """
    The state folder of a node that keeps its state.

    @raise OckamError: The instance has no name that a folder can have.
    """
    state = config.state
    path = Path(state.folder) if state.folder else defaultStateFolder(config.command, state.instance, os.environ)
    # C{twistd} goes to another folder before it starts.
    return StateFolder(path.absolute())


def check(config: NodeConfig, reactor: Any) -> None:
    """
    Find out what would keep a node from starting.

    @raise OckamError: Something would; the text is one plain line.
    """
    checkNames(config, reactor)
    checkState(config)
    checkPorts(config, reactor)


def checkState(config: NodeConfig) -> None:
    """
    Can this user, now, use the state folder and what is in it?

    @raise StateUnusable: No.
    """
    if not config.state.ephemeral:
        folder = stateFolder(config)
        folder.check()
        stored = readSetting(folder.database, IDENTITY)
        if stored is not None:
            storedIdentifier(stored)


def checkPorts(config: NodeConfig, reactor: Any) -> None:
    """
    Can this user, now, have all ports?

    @raise ConfigurationError: No.
    """
    for text in (*config.listeners, *(inlet.listen for inlet in config.inlets)):
        checkFree(reactor, text)


def trustPolicy(trust: TrustConfig) -> ITrustPolicy:
    """
    The policy that a configuration says.

    @raise OckamError: It says nobody, or something that is no identifier.
    """
    return TrustEveryone() if trust.everyone else trustIn(trust.authorized)


def announce(label: str, value: str) -> None:
    """
    Write what people copy: on a line of its own, to the true standard output,
    also where the log has taken C{sys.stdout}.
    """
    out = sys.__stdout__
    if out is not None:
        try:
            out.write(f"{label}: {value}\n")
            out.flush()
        except (OSError, ValueError):
            # A daemon has no terminal; the log has the same line.
            pass


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
        store: Any
        if config.state.ephemeral:
            store = MemoryStore()
        else:
            self._folder = stateFolder(config)
            store = SQLiteStore(self._folder.database, reactor)
        self._store = store
        self.node = Node(reactor, store, config.command, config.maxFrame)
        self._inlets: list[tuple[Inlet, str]] = []
        for inlet in config.inlets:
            way = self.node.createWay(inlet.to, trust=trustPolicy(inlet.trust))
            self._inlets.append((self.node.addInlet(way, inlet.connectTimeout), inlet.listen))

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
        Service.startService(self)
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
            self._bind(inlet.listen(serverEndpoint(self._reactor, text)), text)

    def _bind(self, binding: Deferred[IListeningPort], text: str) -> None:
        failures: list[Failure] = []

        def listening(port: IListeningPort) -> None:
            if self._stopping is not None:
                maybeDeferred(port.stopListening)
            else:
                at: Any = port.getHost()
                where = f"{at.host}:{at.port}" if hasattr(at, "port") else str(at)
                self._log.info("Listening on {where}", where=where)

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
            self._log.critical("Cannot start: {reason}", reason=failure.getErrorMessage())
        else:
            self._log.failure("Cannot start", failure)
        self._conclude(failure.getErrorMessage())
        self._reactor.callLater(0, self._reactor.stop)

    async def _start(self) -> None:
        config, node = self._config, self.node
        identifier = await node.loadIdentity()
        self._say("Identifier", str(identifier))
        if config.trust.everyone and config.outlets:
            self._log.warn("--trust-everyone: whoever knows the way to this node can use what it offers")
        if any(inlet.trust.everyone for inlet in config.inlets):
            self._log.warn("--trust-everyone: whoever is at the end of the way can read and answer what clients send")
        # An inlet has nobody to answer: it runs no listener.
        if config.outlets or config.relayService is not None:
            listener = node.createSecureChannelListener(trustPolicy(config.trust))
            self._offer(listener.flowId)
            if config.relayService is not None:
                authorized = config.relayService.authorized
                node.createRelayService(
                    [str(Identifier.parse(each)) for each in authorized] if authorized else None, listener=listener
                )
            for outlet in config.outlets:
                endpoint = clientEndpoint(self._reactor, outlet.target)
                target = SocketTarget(node.router, node.sockets, endpoint, outlet.label)
                node.createOutlet(outlet.address, target, (listener.flowId,))
        for number, registration in enumerate(config.registrations):
            self._register(registration, number)
        node.setServiceParent(self)

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

    def _register(self, registration: RegistrationConfig, number: int) -> None:
        node = self.node
        if registration.relay.startswith("/"):
            relay: Any = MultiAddr.fromText(registration.relay)
        else:
            relay = clientEndpoint(self._reactor, registration.relay)
        label = f"relay {registration.label}"

        def reachable(flowId: str) -> None:
            for name in (*LISTENER_ADDRESSES, "echo"):
                node.makeReachable(name, (flowId,))

        def registered(made: Registration) -> None:
            self._say("Forwarding address", made.address.value.decode("ascii"))

        def proven(identifier: str) -> None:
            self._relayProven(registration.relay, label, identifier)

        name = registration.name or str(node.identifier)
        attempt = RegistrationAttempt(node.walk, relay, label, name, reachable, registered, proven)
        node.addSession(Session(self._reactor, attempt, label))

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
            )
        if before != identifier.encode("ascii"):
            self._store.storeSetting(setting, identifier.encode("ascii")).addErrback(
                lambda failure: self._log.warn("{reason}", reason=failure.getErrorMessage())
            )

    def _say(self, label: str, value: str) -> None:
        line = f"{label}: {value}"
        if line not in self._announced:
            self._announced.add(line)
            announce(label, value)
            self._log.info("{line}", line=line)

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
                lambda failure: self._log.failure("The state was not closed as it should", failure)
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
        await self.node.stopService()
        if self._folder is not None:
            await self._store.close()
            self._folder.close()
