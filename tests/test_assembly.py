"""
Tests of L{ockam_twisted.assembly}: what the plugins start, on a reactor in
memory; only the database is real, in folders of their own.
"""

from __future__ import annotations

import os
import sys
from io import StringIO
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from ockam_twisted.assembly import NodeService, announce, check, checkNames, stateFolder, trustPolicy
from ockam_twisted.config import (
    InletConfig,
    NodeConfig,
    OutletConfig,
    RegistrationConfig,
    RelayServiceConfig,
    StateConfig,
    TrustConfig,
)
from ockam_twisted.errors import AddressTaken, ConfigurationError, OckamError, StateUnusable
from ockam_twisted.identity.creation import IDENTITY
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.routing.addresses import Address
from ockam_twisted.storage.folder import StateFolder
from ockam_twisted.storage.sqlite import SQLiteStore
from tests.memory_reactor import MemoryReactor
from tests.test_node import NodeTestCase

WHO = "I" + "0" * 64
EVERYONE = TrustConfig(everyone=True)
MEMORY = StateConfig(ephemeral=True)
TO = "/ip4/127.0.0.1/tcp/4000/secure/api/service/outlet"

RELAY = NodeConfig("ockam-relay", MEMORY, ("tcp:4000",), EVERYONE, RelayServiceConfig())
OUTLET = NodeConfig(
    "ockam-outlet",
    MEMORY,
    trust=EVERYONE,
    registrations=(RegistrationConfig("tcp:host=127.0.0.1:port=4000", "127.0.0.1:4000"),),
    outlets=(OutletConfig("tcp:host=127.0.0.1:port=5000", "127.0.0.1:5000"),),
)
INLET = NodeConfig("ockam-inlet", MEMORY, inlets=(InletConfig("tcp:4001", TO, EVERYONE),))


class CheckTests(SynchronousTestCase):
    """
    L{checkNames} and L{check}.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactor()

    def refused(self, config: NodeConfig, says: str) -> None:
        """
        It is refused in one plain line.
        """
        error = str(self.assertRaises(OckamError, checkNames, config, self.reactor))
        self.assertIn(says, error)
        self.assertTrue(error.isprintable(), error)

    def test_good(self) -> None:
        """
        What can be carried out passes, and nothing is opened.
        """
        for config in (RELAY, OUTLET, INLET):
            checkNames(config, self.reactor)
        check(evolve(OUTLET, outlets=()), self.reactor)
        self.assertEqual(self.reactor.network.ports, {})

    def test_identifiers(self) -> None:
        """
        Identifiers are looked at wherever they stand, and where somebody has
        to be trusted there has to be one.
        """
        bad = TrustConfig(("I123",))
        self.refused(evolve(RELAY, relayService=RelayServiceConfig(("I123",))), "identifier")
        self.refused(evolve(OUTLET, trust=bad), "identifier")
        self.refused(evolve(INLET, inlets=(InletConfig("tcp:1", TO, bad),)), "identifier")
        self.refused(evolve(OUTLET, trust=TrustConfig()), "nobody is trusted")
        self.refused(evolve(INLET, inlets=(InletConfig("tcp:1", TO, TrustConfig()),)), "nobody is trusted")

    def test_ways(self) -> None:
        """
        Ways must lead to an outlet, and prove who is there.
        """
        for to, says in (
            ("127.0.0.1:4000", "/ip4/127.0.0.1/tcp/4000"),
            ("/service/outlet", "begin"),
            ("/ip4/127.0.0.1/tcp/4000/secure/api", "end"),
            ("/ip4/127.0.0.1/tcp/4000/service/outlet", "secure"),
        ):
            self.refused(evolve(INLET, inlets=(InletConfig("tcp:1", to, TrustConfig((WHO,))),)), says)

    def test_registrations(self) -> None:
        """
        Relays and the names there are looked at.
        """
        for relay, name, says in (
            ("/ip4/127.0.0.1", "", "--relay"),
            ("/nonsense", "", "nonsense"),
            ("tcp:host=x", "", "not an endpoint"),
            ("tcp:host=x:port=1", "a name", "name"),
        ):
            self.refused(evolve(OUTLET, registrations=(RegistrationConfig(relay, relay, name),)), says)

    def test_addresses(self) -> None:
        """
        An outlet's address is its own, and no two have the same.
        """
        for address in ("", "api", "secure_channel_listener", "echo", "hop", "uppercase", "x" * 300):
            self.refused(evolve(OUTLET, outlets=(OutletConfig("tcp:host=x:port=1", "x", address),)), "address")
        twice = OutletConfig("tcp:host=x:port=1", "x", "web")
        self.refused(evolve(OUTLET, outlets=(twice, twice)), "'web' is taken")

    def test_endpoints(self) -> None:
        """
        Places to listen and targets are looked at.
        """
        self.refused(evolve(RELAY, listeners=("tcp:abc",)), "tcp:abc")
        self.refused(evolve(OUTLET, outlets=(OutletConfig("tcp:abc", "x"),)), "tcp:abc")
        self.refused(evolve(INLET, inlets=(InletConfig("tcp:abc", TO, EVERYONE),)), "tcp:abc")

    def test_instance(self) -> None:
        """
        An instance has to be a name for a folder, where there is one.
        """
        self.refused(evolve(RELAY, state=StateConfig(instance="a/b")), "--instance")
        checkNames(evolve(RELAY, state=StateConfig(instance="a/b", ephemeral=True)), self.reactor)

    def test_folder(self) -> None:
        """
        A state folder is absolute, since a daemon goes elsewhere; by default
        it is that of the command and the instance.
        """
        given = stateFolder(evolve(RELAY, state=StateConfig("here")))
        self.assertEqual(given.path, Path.cwd() / "here")
        self.patch(os, "environ", {"XDG_STATE_HOME": "/s"})
        default = stateFolder(evolve(RELAY, state=StateConfig(instance="blue")))
        self.assertEqual(default.path, Path("/s/ockam-twisted/ockam-relay/blue"))

    def test_state(self) -> None:
        """
        The state is checked, down to the identity in it, and a folder that is
        not there is not made.
        """
        folder = Path(self.mktemp()).absolute()
        config = evolve(RELAY, listeners=("tcp:0",), state=StateConfig(str(folder)))
        check(config, self.reactor)
        self.assertFalse(folder.exists())
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
        self.assertIn("chmod 700", str(self.assertRaises(StateUnusable, check, config, self.reactor)))
        folder.chmod(0o700)
        store = SQLiteStore(folder / "state.sqlite", self.reactor)
        store.open()
        self.reactor.wait(store.storeSetting(IDENTITY, b"nonsense"))
        self.reactor.wait(store.close())
        error = str(self.assertRaises(StateUnusable, check, config, self.reactor))
        self.assertIn("the stored identity is damaged", error)

    def test_port(self) -> None:
        """
        A port in use is found out, with a real socket.
        """
        import socket

        with socket.create_server(("127.0.0.1", 0)) as taken:
            text = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
            for config in (
                evolve(RELAY, listeners=("tcp:0", text)),
                evolve(INLET, inlets=(InletConfig(text, TO, EVERYONE),)),
            ):
                error = self.assertRaises(ConfigurationError, check, config, self.reactor)
                self.assertEqual(str(error), f"cannot listen on {text}: Address already in use")

    def test_trust(self) -> None:
        """
        The policy of a configuration accepts whom it says.
        """
        self.assertIsInstance(trustPolicy(EVERYONE), TrustEveryone)
        self.assertRaises(OckamError, trustPolicy, TrustConfig())


class AnnounceTests(SynchronousTestCase):
    """
    What people copy.
    """

    def test_line(self) -> None:
        """
        It stands on a line of its own on the true standard output, although
        the log has taken the other one.
        """
        true, other = StringIO(), StringIO()
        self.patch(sys, "__stdout__", true)
        self.patch(sys, "stdout", other)
        announce("Identifier", WHO)
        self.assertEqual((true.getvalue(), other.getvalue()), (f"Identifier: {WHO}\n", ""))

    def test_nobodyListens(self) -> None:
        """
        Without a terminal, or with a closed one, nothing happens.
        """

        class Broken(StringIO):
            def flush(self) -> None:
                raise BrokenPipeError

        closed = StringIO()
        closed.close()
        for out in (None, closed, Broken()):
            self.patch(sys, "__stdout__", out)
            announce("Identifier", WHO)


class ServiceTestCase(NodeTestCase):
    """
    Services on one network.
    """

    def setUp(self) -> None:
        super().setUp()
        self.out = StringIO()
        self.patch(sys, "__stdout__", self.out)
        self.logged: list[str] = []

        def observe(event: Any) -> None:
            from twisted.logger import formatEvent

            self.logged.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def start(self, config: NodeConfig) -> NodeService:
        """
        Start a service as C{twist} does, and wait until it is ready.
        """
        service = NodeService(config, self.reactor)
        service.startService()
        self.addCleanup(self.end, service)
        self.assertEqual(self.reactor.wait(service.ready), "")
        self.network.pump()
        return service

    def end(self, service: NodeService) -> None:
        """
        Stop it.
        """
        stopped = service.stopService()
        # Whatever drains may take its time; the database then closes.
        self.network.advance(3)
        self.reactor.wait(stopped)

    def values(self, label: str) -> list[str]:
        """
        What was announced under a label.
        """
        lines = [line.partition(": ") for line in self.out.getvalue().splitlines()]
        return [value for each, _, value in lines if each == label]


class NodeServiceTests(ServiceTestCase):
    """
    Relay, outlet and inlet together.
    """

    def through(self, outlet: NodeService, trust: TrustConfig) -> NodeConfig:
        """
        An inlet through the relay.
        """
        to = f"/ip4/127.0.0.1/tcp/4000/service/forward_to_{outlet.node.identifier}/secure/api/service/outlet"
        return evolve(INLET, inlets=(InletConfig("tcp:4001", to, trust),))

    def test_mainJob(self) -> None:
        """
        A client of the inlet reaches the target of the outlet through the
        relay, and who does not trust the outlet does not.
        """
        self.serve(5000)
        self.start(RELAY)
        outlet = self.start(OUTLET)
        self.network.advance(1)
        inlet = self.start(self.through(outlet, TrustConfig((str(outlet.node.identifier),))))
        self.network.advance(1)
        self.assertEqual(self.says(self.client(4001)), b"HELLO")
        self.end(inlet)
        self.start(self.through(outlet, TrustConfig((WHO,))))
        self.network.advance(1)
        self.assertEqual(self.says(self.client(4001)), b"")

    def test_authorized(self) -> None:
        """
        An outlet serves who is authorized, and nobody else.
        """
        self.serve(5000)
        self.start(RELAY)
        outlet = self.start(evolve(OUTLET, trust=TrustConfig((WHO,))))
        self.network.advance(1)
        self.start(self.through(outlet, TrustConfig((str(outlet.node.identifier),))))
        self.network.advance(1)
        self.assertEqual(self.says(self.client(4001)), b"")

    def test_direct(self) -> None:
        """
        An outlet may listen itself, and an inlet may come to it over a
        MultiAddr's own connection.
        """
        self.serve(5000)
        self.start(evolve(OUTLET, registrations=(), listeners=("tcp:4000",)))
        self.start(INLET)
        self.network.advance(1)
        self.assertEqual(self.says(self.client(4001)), b"HELLO")
        self.assertIn("Listening on 127.0.0.1:4000", self.logged)
        self.assertIn("Listening on 127.0.0.1:4001", self.logged)

    def test_announced(self) -> None:
        """
        Identifier and forwarding address are announced once, as lines to
        copy, and are in the log.
        """
        relay = self.start(RELAY)
        outlet = self.start(evolve(OUTLET, registrations=OUTLET.registrations * 2))
        self.network.advance(1)
        who = str(outlet.node.identifier)
        self.assertEqual(self.values("Identifier"), [str(relay.node.identifier), who])
        self.assertEqual(self.values("Forwarding address"), [f"forward_to_{who}"])
        for line in self.out.getvalue().splitlines():
            self.assertIn(line, self.logged)

    def test_named(self) -> None:
        """
        A relay name is registered as it is given; the relay may be a
        MultiAddr.
        """
        self.start(RELAY)
        at = RegistrationConfig("/ip4/127.0.0.1/tcp/4000", "/ip4/127.0.0.1/tcp/4000", "blue")
        self.start(evolve(OUTLET, registrations=(at,)))
        self.network.advance(1)
        self.assertEqual(self.values("Forwarding address"), ["forward_to_blue"])

    def test_relayForSome(self) -> None:
        """
        A relay for some takes registrations from these only.
        """
        self.start(evolve(RELAY, relayService=RelayServiceConfig((WHO,))))
        self.start(OUTLET)
        self.network.advance(20)
        self.assertEqual(self.values("Forwarding address"), [])

    def test_ownWorkers(self) -> None:
        """
        C{uppercase} and C{hop} are there when they are asked for, and an
        inlet has no listener at all.
        """
        relay = self.start(evolve(RELAY, uppercase=True, hop=True))
        for name in ("uppercase", "hop", "api", "secure_channel_listener", "echo"):
            self.assertIsNotNone(relay.node.router.worker(Address.local(name)), name)
        inlet = self.start(INLET)
        for name in ("uppercase", "hop", "api", "secure_channel_listener", "forwarding_service"):
            self.assertIsNone(inlet.node.router.worker(Address.local(name)), name)

    def test_warned(self) -> None:
        """
        Who trusts everyone is told what that gives up, and relays, for which
        it is nothing special, are not.
        """
        for config, count in ((RELAY, 0), (evolve(OUTLET, registrations=()), 1), (INLET, 1)):
            self.logged.clear()
            self.start(config)
            warnings = [line for line in self.logged if line.startswith("--trust-everyone: ")]
            self.assertEqual(len(warnings), count, config.command)

    def test_otherRelay(self) -> None:
        """
        That a relay has become another one is worth a line; its first
        identity is not.
        """
        folder = str(Path(self.mktemp()).absolute())
        relay = self.start(RELAY)
        config = evolve(OUTLET, state=StateConfig(folder))
        for changed in (False, True):
            outlet = self.start(config)
            for _ in range(8):
                self.network.advance(1)
            self.assertEqual(any("another identity than before" in line for line in self.logged), changed)
            self.end(outlet)
            self.end(relay)
            relay = self.start(RELAY)

    def test_kept(self) -> None:
        """
        The identity survives a restart, and the folder is free in between.
        """
        folder = Path(self.mktemp()).absolute()
        for _ in range(2):
            service = self.start(evolve(RELAY, state=StateConfig(str(folder))))
            self.assertRaises(StateUnusable, StateFolder(folder).check)
            self.end(service)
            StateFolder(folder).check()
        first, second = self.values("Identifier")
        self.assertEqual(first, second)


class StartTests(ServiceTestCase):
    """
    Starts that fail, and starts that are interrupted.
    """

    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp()).absolute()
        self.kept = evolve(RELAY, state=StateConfig(str(self.folder)))

    def failing(self, config: NodeConfig, error: type[BaseException] = StateUnusable) -> str:
        """
        A start that fails at once.

        @return: Why.
        """
        service = NodeService(config, self.reactor)
        raised = self.assertRaises(error, service.startService)
        self.assertFalse(service.running)
        self.assertEqual(self.reactor.wait(service.ready), str(raised))
        self.reactor.wait(service.stopService())
        self.assertEqual(self.network.ports, {})
        self.assertEqual(self.reactor.stops, 0)
        return str(raised)

    def test_privileged(self) -> None:
        """
        Ports are bound once, by the first step that there is, and state is
        opened by the second only.
        """
        service = NodeService(self.kept, self.reactor)
        self.addCleanup(self.end, service)
        service.privilegedStartService()
        self.assertEqual(list(self.network.ports), ["127.0.0.1:4000"])
        self.assertFalse(self.folder.exists())
        service.startService()
        self.assertTrue(self.folder.exists())
        self.assertEqual(self.reactor.wait(service.ready), "")
        self.assertEqual(list(self.network.ports), ["127.0.0.1:4000"])

    def test_portTaken(self) -> None:
        """
        The second port of two is taken: the first is closed again, the state
        is not touched, and the text says which one.
        """
        self.reactor.taken.add(4007)
        config = evolve(self.kept, listeners=("tcp:4000", "tcp:4007"))
        self.assertEqual(self.failing(config), "cannot listen on tcp:4007: Address already in use")
        self.assertFalse(self.folder.exists())
        service = NodeService(config, self.reactor)
        self.assertRaises(StateUnusable, service.privilegedStartService)
        self.assertEqual(self.network.ports, {})

    def test_inletPortTaken(self) -> None:
        """
        So is the port of an inlet.
        """
        self.reactor.taken.add(4001)
        inlets = (InletConfig("tcp:4002", TO, EVERYONE), *INLET.inlets)
        self.assertIn("tcp:4001", self.failing(evolve(INLET, inlets=inlets)))

    def test_folderTaken(self) -> None:
        """
        Another process has the folder: ports are closed again.
        """
        other = StateFolder(self.folder)
        other.open()
        self.assertIn("--instance", self.failing(self.kept))
        other.close()
        self.end(self.start(self.kept))

    def test_databaseDamaged(self) -> None:
        """
        The database cannot be read: ports are closed, and the lock is given
        up.
        """
        self.folder.mkdir(mode=0o700)
        (self.folder / "state.sqlite").write_bytes(b"this is no database" * 100)
        self.assertIn("damaged", self.failing(self.kept))
        (self.folder / "state.sqlite").unlink()
        self.end(self.start(self.kept))

    def test_identityDamaged(self) -> None:
        """
        The identity cannot be read: everything is closed, and the text says
        what it is.
        """
        self.folder.mkdir(mode=0o700)
        store = SQLiteStore(self.folder / "state.sqlite", self.reactor)
        store.open()
        self.reactor.wait(store.storeSetting(IDENTITY, b"nonsense"))
        self.reactor.wait(store.close())
        self.assertIn("identity is damaged", self.failing(self.kept))
        other = StateFolder(self.folder)
        other.open()
        other.close()

    def test_addressTaken(self) -> None:
        """
        A service of the node cannot start: the others are stopped.
        """
        outlets = OUTLET.outlets * 2
        service_ = evolve(OUTLET, outlets=outlets, registrations=(), listeners=("tcp:4000",))
        self.failing(service_, AddressTaken)

    def test_failsLater(self) -> None:
        """
        The identity cannot be stored: that is known only later, is one line
        in the log, and ends the reactor.
        """

        def storeSecret(self: Any, handle: bytes, kind: str, secret: bytes) -> Deferred[None]:
            return failing

        for error, isOurs in ((StateUnusable("the disk is full"), True), (RuntimeError("a bug"), False)):
            failing: Deferred[None] = Deferred()
            self.patch(SQLiteStore, "storeSecret", storeSecret)
            self.reactor.stops = 0
            service = NodeService(self.kept, self.reactor)
            service.startService()
            failing.errback(error)
            self.assertEqual(self.reactor.wait(service.ready), str(error))
            self.network.pump()
            self.assertEqual(self.reactor.stops, 1)
            if isOurs:
                self.assertIn("Cannot start: the disk is full", self.logged)
            self.end(service)
            self.assertEqual(self.network.ports, {})
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_portFailsLater(self) -> None:
        """
        A listener that answers later, with a failure, ends the reactor; one
        that answers after the end is closed.
        """
        waiting: list[Deferred[Any]] = []

        @implementer(IStreamServerEndpoint)
        class Slow:
            def listen(self, protocolFactory: Any) -> Deferred[Any]:
                waiting.append(Deferred())
                return waiting[-1]

        from ockam_twisted import node

        self.patch(node, "serverEndpoint", lambda reactor, text: Slow())
        service = self.start(RELAY)
        waiting[0].errback(CannotListenError("", 4000, OSError(98, "Address already in use")))
        self.network.pump()
        self.assertEqual(self.reactor.stops, 1)
        self.assertIn("Cannot start: cannot listen on tcp:4000: Address already in use", self.logged)
        self.end(service)
        service = self.start(RELAY)
        self.end(service)
        port = self.reactor.listenTCP(4000, _Factory())
        waiting[1].callback(port)
        self.assertEqual(self.network.ports, {})
        service = self.start(RELAY)
        self.end(service)
        waiting[2].errback(CannotListenError("", 4000, OSError(98, "Address already in use")))
        self.assertEqual(self.reactor.stops, 1)

    def test_stoppedWhileStarting(self) -> None:
        """
        A stop while the identity is being stored ends the start: everything
        is closed, nothing is announced, and it is no failure.
        """
        service = NodeService(self.kept, self.reactor)
        service.startService()
        self.assertNoResult(service.ready)
        self.end(service)
        self.assertEqual(self.successResultOf(service.ready), "it was stopped before it was ready")
        self.assertFalse(service.node.running)
        self.assertEqual(self.network.ports, {})
        self.assertEqual(self.out.getvalue(), "")
        self.assertEqual(self.reactor.stops, 0)
        # What was begun does no harm to the next one.
        self.end(self.start(self.kept))

    def test_stopTwice(self) -> None:
        """
        Who asks again to stop is told when the first stop is done, and the
        lock is held until then.
        """
        service = self.start(self.kept)
        first, second = service.stopService(), service.stopService()
        self.assertNoResult(second)
        self.assertRaises(StateUnusable, StateFolder(self.folder).check)
        self.network.advance(3)
        self.reactor.wait(second)
        self.successResultOf(first)
        self.successResultOf(service.stopService())
        StateFolder(self.folder).check()

    def test_stopUnstarted(self) -> None:
        """
        What never was started can be stopped, also after it has bound.
        """
        service = NodeService(self.kept, self.reactor)
        service.privilegedStartService()
        self.end(service)
        self.assertEqual(self.network.ports, {})
        self.assertEqual(self.successResultOf(service.ready), "it was stopped before it was ready")

    def test_notClosed(self) -> None:
        """
        A folder that cannot be closed is logged, and the stop ends all the
        same.
        """
        service = self.start(self.kept)
        close = StateFolder.close

        def failing(folder: StateFolder) -> None:
            close(folder)
            raise OSError("no")

        self.patch(StateFolder, "close", failing)
        self.end(service)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)


class _Factory:
    def doStart(self) -> None:
        """
        See C{IProtocolFactory}.
        """

    doStop = doStart
