"""
Tests of L{ockam_twisted.assembly}: what the plugins start, on a reactor in
memory; only the database is real, in folders of their own.
"""

from __future__ import annotations

import sys
from io import StringIO
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.logger import globalLogPublisher
from zope.interface import implementer

from ockam_twisted.assembly import NodeService
from ockam_twisted.config import (
    InletConfig,
    NodeConfig,
    RegistrationConfig,
    RelayServiceConfig,
    StateConfig,
    TrustConfig,
)
from ockam_twisted.errors import AddressTaken, StateUnusable
from ockam_twisted.identity.creation import IDENTITY
from ockam_twisted.routing.addresses import Address
from ockam_twisted.storage.folder import StateFolder
from ockam_twisted.storage.sqlite import SQLiteStore
from tests.configs import EVERYONE, INLET, OUTLET, RELAY, TO
from tests.test_node import NodeTestCase

WHO = "I" + "0" * 64


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


class ProcessesTests(ServiceTestCase):
    """
    A relay of several processes.
    """

    def test_one(self) -> None:
        """
        One process has nothing of what several need.
        """
        service = self.start(RELAY)
        self.assertIsNone(service.node.processes)
        self.assertIs(service.node.transport.accepting, service.node.transport.servers)
        self.assertEqual(service.node.status().processes, ())

    def test_several(self) -> None:
        """
        With more of them their names go to all, and accepted connections to
        any; the others begin when the reactor runs.
        """
        several = evolve(RELAY, relayService=RelayServiceConfig(processes=3))
        service = NodeService(several, self.reactor)
        processes = service.node.processes
        self.assertIs(service.node.transport.accepting, processes.arrivals)
        self.assertIs(service.node.createRelayService()._directory, processes.directory)
        self.assertEqual([each.state for each in service.node.status().processes], ["running", "ended", "ended"])


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

    def test_drain(self) -> None:
        """
        A node that is stopped accepts nobody any more, and lets streams end
        for as long as it was told; then they are reset.
        """
        self.serve(5000)
        self.start(RELAY)
        outlet = self.start(OUTLET)
        self.network.advance(1)
        config = evolve(self.through(outlet, TrustConfig((str(outlet.node.identifier),))), drainTimeout=5.0)
        for stays in (False, True):
            inlet = self.start(config)
            self.network.advance(1)
            client = self.client(4001)
            self.assertEqual(self.says(client), b"HELLO")
            stopped = inlet.stopService()
            self.network.advance(2)
            self.assertNoResult(stopped)
            self.assertEqual(len(inlet.node._portals[0].streams), 1)
            if stays:
                self.network.advance(4)
            else:
                client.transport.loseConnection()
                self.network.advance(1)
            self.successResultOf(stopped)
        self.assertEqual(sum("have not come to their end" in line for line in self.logged), 1)

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

        from ockam_twisted.parts import doors

        self.patch(doors, "serverEndpoint", lambda reactor, text: Slow())
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
