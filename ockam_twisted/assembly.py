"""
From a configuration to a running node: what the plugins start.

Three steps, because C{twistd} forks and changes its user in between:
L{check} finds out before the start, leaving nothing open, what is wrong;
L{NodeService.privilegedStartService} binds; L{NodeService.startService} opens
the state and begins.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from ockam_twisted.config import NodeConfig, RegistrationConfig, TrustConfig
from ockam_twisted.errors import ConfigurationError, OckamError, StateUnusable
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifiers
from ockam_twisted.interfaces import ITrustPolicy
from ockam_twisted.node import LISTENER_ADDRESSES, Node
from ockam_twisted.places import clientEndpoint
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
from ockam_twisted.storage.sqlite import SQLiteStore


def checkNames(config: NodeConfig, reactor: Any) -> None:
    """
    Check everything that is a name: no file or socket is touched.

    @raise OckamError: One of them is none.
    """
    trusts = [config.trust, *(inlet.trust for inlet in config.inlets)]
    if config.relayService is not None:
        trusts.append(TrustConfig(config.relayService.authorized))
    for trust in trusts:
        for identifier in trust.authorized:
            Identifier.parse(identifier)
    for inlet in config.inlets:
        MultiAddr.fromText(inlet.to)
    for registration in config.registrations:
        if registration.name:
            checkRelayName(registration.name)
        if registration.relay.startswith("/"):
            MultiAddr.fromText(registration.relay)
    for outlet in config.outlets:
        taken = Address.local(outlet.address)
        if not outlet.address or taken.value.decode() in (*LISTENER_ADDRESSES, "echo"):
            raise ConfigurationError(f"--address: {outlet.address!r} is taken by a service of the node itself")
    if not config.state.ephemeral:
        stateFolder(config)
    for text in (*config.listeners, *(inlet.listen for inlet in config.inlets)):
        _endpoint(serverFromString, reactor, text)
    for text in (*(o.target for o in config.outlets), *(r.relay for r in config.registrations)):
        if not text.startswith("/"):
            _endpoint(clientFromString, reactor, text)


def _endpoint(parse: Any, reactor: Any, text: str) -> Any:
    try:
        return parse(reactor, text)
    except Exception as error:
        raise ConfigurationError(f"not an endpoint: {text[:200]} ({str(error)[:200]})") from None


def stateFolder(config: NodeConfig) -> StateFolder:
    """
    The state folder of a node that keeps its state.

    @raise OckamError: The instance has no name that a folder can have.
    """
    state = config.state
    path = state.folder or defaultStateFolder(config.command, state.instance, os.environ)
    return StateFolder(path)


def check(config: NodeConfig, reactor: Any) -> None:
    """
    Find out what would keep a node from starting.

    @raise OckamError: Something would; the text is one plain line.
    """
    checkNames(config, reactor)
    if not config.state.ephemeral:
        stateFolder(config).check()
    for text in (*config.listeners, *(inlet.listen for inlet in config.inlets)):
        _checkFree(_endpoint(serverFromString, reactor, text), text)


def _checkFree(endpoint: Any, text: str) -> None:
    """
    Bind and close, where the endpoint is a TCP port.
    """
    port, interface = getattr(endpoint, "_port", None), getattr(endpoint, "_interface", None)
    if not isinstance(port, int) or not isinstance(interface, str) or port == 0:
        return
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((interface, port))
            probe.listen(1)
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {text}: {error.strerror}") from None


def trustPolicy(trust: TrustConfig) -> ITrustPolicy:
    """
    The policy that a configuration says.
    """
    if trust.everyone:
        return TrustEveryone()
    return TrustIdentifiers([Identifier.parse(each) for each in trust.authorized])


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
    A node as a configuration says.

    @ivar node: The node.
    @ivar ready: Fires when everything is started; the sessions then try by
        themselves.
    """

    _log = Logger()
    _folder: StateFolder | None = None
    _bound = False

    def __init__(self, config: NodeConfig, reactor: Any) -> None:
        super().__init__()
        self._config = config
        self._reactor = reactor
        self.ready: Deferred[None] = Deferred()
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
        self._ways: list[Session] = []
        self._listening: list[IListeningPort] = []
        for inlet in config.inlets:
            way = self.node.createWay(inlet.to, trust=trustPolicy(inlet.trust))
            self._inlets.append((self.node.addInlet(way, inlet.connectTimeout), inlet.listen))

    # --------------------------------------------------------------- start

    def privilegedStartService(self) -> None:
        """
        Bind every listener, while this process may.
        """
        super().privilegedStartService()
        self._bindAll()

    def _bindAll(self) -> None:
        if self._bound:
            return
        self._bound = True
        for text in self._config.listeners:
            self._bind(self.node.listen(serverFromString(self._reactor, text)), text)
        for inlet, text in self._inlets:
            self._bind(inlet.listen(serverFromString(self._reactor, text)), text)

    def _bind(self, listening: Deferred[IListeningPort], text: str) -> None:
        failures: list[Failure] = []
        listening.addCallbacks(self._listening.append, failures.append)
        if failures:
            error = failures[0]
            value = error.value
            why = str(value.socketError) if isinstance(value, CannotListenError) else error.getErrorMessage()
            raise StateUnusable(f"cannot listen on {text}: {why}")

    def startService(self) -> None:
        """
        Open the state and begin.
        """
        Service.startService(self)
        # C{twist} has no privileged step.
        self._bindAll()
        if self._folder is not None:
            self._folder.open()
            self._store.open()
        Deferred.fromCoroutine(self._start()).addCallbacks(self.ready.callback, self._failed)

    def _failed(self, failure: Failure) -> None:
        if failure.check(OckamError):
            self._log.critical("Cannot start: {reason}", reason=failure.getErrorMessage())
        else:
            self._log.failure("Cannot start", failure)
        self._reactor.callLater(0, self._reactor.stop)

    async def _start(self) -> None:
        config, node = self._config, self.node
        identifier = await node.loadIdentity()
        if not self.running:
            return
        self._say("Identifier", str(identifier))
        if config.trust.everyone and config.relayService is None:
            self._log.warn("--trust-everyone: whoever knows the way to this node can use what it offers")
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
            self._store.storeSetting(setting, identifier.encode("ascii"))

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
        """
        Service.stopService(self)

        async def stop() -> None:
            if self.node.running:
                await self.node.stopService()
            for port in self._listening:
                stopping = port.stopListening()
                if stopping is not None:
                    await stopping
            if self._folder is not None:
                await self._store.close()
                self._folder.close()

        return Deferred.fromCoroutine(stop())
