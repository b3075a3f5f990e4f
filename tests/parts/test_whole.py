"""
Tests of L{ockam_twisted.parts.whole}: a node that becomes another one while
it runs, on a reactor in memory.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve

from ockam_twisted.assembly import NodeService
from ockam_twisted.config import InletConfig, NodeConfig, OutletConfig, RegistrationConfig, TrustConfig
from ockam_twisted.errors import ConfigurationError, OckamError, StateUnusable
from tests.configs import EVERYONE, MEMORY, OUTLET, RELAY
from tests.test_assembly import WHO, ServiceTestCase


class ReloadTestCase(ServiceTestCase):
    """
    A relay, and nodes that change around it.
    """

    def end(self, service: NodeService) -> None:
        """
        Stop it, and let what is open drain.
        """
        stopped = service.stopService()
        for _ in range(9):
            self.network.advance(1)
        self.reactor.wait(stopped)

    def apply(self, service: NodeService, config: NodeConfig) -> dict[str, list[str]]:
        """
        Apply another configuration.
        """
        result: dict[str, list[str]] = self.reactor.wait(service.apply(config))
        self.network.pump()
        return result

    def refused(self, service: NodeService, config: NodeConfig, error: type[OckamError] = ConfigurationError) -> str:
        """
        Another configuration is refused, and changes nothing.
        """
        before = dict(self.network.ports)
        parts = dict(service._parts.parts)
        old = service._config
        with self.assertRaises(error) as caught:
            self.apply(service, config)
        self.assertEqual(list(self.network.ports), list(before))
        self.assertEqual(service._parts.parts, parts)
        self.assertIs(service._config, old)
        return str(caught.exception)


class InletTests(ReloadTestCase):
    """
    A node with inlets.
    """

    def setUp(self) -> None:
        super().setUp()
        self.serve(5000)
        self.start(RELAY)
        self.outlet = self.start(OUTLET)
        self.network.advance(1)
        self.who = str(self.outlet.node.identifier)
        self.way = f"/ip4/127.0.0.1/tcp/4000/service/forward_to_{self.who}/secure/api/service/outlet"
        self.config = NodeConfig("ockam-node", MEMORY, inlets=(self.inlet("a", 4001),), drainTimeout=5.0)
        self.service = self.start(self.config)
        self.network.advance(1)

    def inlet(self, name: str, port: int, trust: TrustConfig | None = None, *to: str) -> InletConfig:
        """
        An inlet.
        """
        return InletConfig(f"tcp:{port}", to or (self.way,), trust or TrustConfig((self.who,)), name=name)

    def inlets(self, *inlets: InletConfig, **others: Any) -> NodeConfig:
        """
        The configuration with other inlets.
        """
        return evolve(self.config, inlets=inlets, **others)

    def test_same(self) -> None:
        """
        The same again is no change.
        """
        self.assertEqual(
            self.apply(self.service, self.config), {"added": [], "removed": [], "changed": [], "kept": ["inlet a"]}
        )

    def test_added(self) -> None:
        """
        An inlet is added; the stream of another one goes on over what it had.
        """
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        [session] = [session for session, _ in self.service.node.sessions()]
        established = session.established
        result = self.apply(self.service, self.inlets(*self.config.inlets, self.inlet("b", 4002)))
        self.assertEqual((result["added"], result["kept"]), (["inlet b"], ["inlet a"]))
        self.network.advance(1)
        self.assertEqual(self.says(self.client(4002)), b"HELLO")
        self.assertEqual(self.says(client), b"HELLO")
        self.assertIs(session.established, established)

    def test_removed(self) -> None:
        """
        What is removed accepts nobody any more, and drains; a stream that has
        not ended by then is reset, and nothing is left.
        """
        self.apply(self.service, self.inlets(self.inlet("a", 4001), self.inlet("b", 4002)))
        self.network.advance(1)
        stays, goes = self.client(4001), self.client(4001)
        for client in (stays, goes):
            self.assertEqual(self.says(client), b"HELLO")
        result = self.apply(self.service, self.inlets(self.inlet("b", 4002)))
        self.assertEqual(result["removed"], ["inlet a"])
        self.assertNotIn("127.0.0.1:4001", self.network.ports)
        self.network.advance(2)
        self.assertEqual(self.says(stays), b"HELLO")
        goes.transport.loseConnection()
        self.network.advance(2)
        self.assertEqual(self.says(stays), b"HELLO")
        self.network.advance(2)
        self.assertEqual(self.says(stays), b"")
        self.assertEqual(len(self.service._parts.leaving), 0)
        self.assertEqual(len(self.service.node._portals), 1)
        self.assertEqual(len(self.service.node.sessions()), 1)

    def test_drained(self) -> None:
        """
        With its last stream a removed inlet is gone.
        """
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        self.apply(self.service, self.inlets())
        self.assertEqual(len(self.service.node._portals), 1)
        client.transport.loseConnection()
        self.network.advance(1)
        self.assertEqual(self.service.node._portals, [])
        self.assertEqual(self.service.node.sessions(), [])

    def test_back(self) -> None:
        """
        What comes back before it is gone has its streams still.
        """
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        self.apply(self.service, self.inlets())
        self.network.advance(1)
        self.assertEqual(self.apply(self.service, self.config)["added"], ["inlet a"])
        self.network.advance(8)
        self.assertEqual(self.says(client), b"HELLO")
        self.assertEqual(self.says(self.client(4001)), b"HELLO")
        self.assertEqual(len(self.service.node._portals), 1)

    def test_moved(self) -> None:
        """
        An inlet that listens elsewhere has the streams that it had.
        """
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        self.assertEqual(self.apply(self.service, self.inlets(self.inlet("a", 4003)))["changed"], ["inlet a"])
        self.assertNotIn("127.0.0.1:4001", self.network.ports)
        self.network.advance(8)
        self.assertEqual(self.says(client), b"HELLO")
        self.assertEqual(self.says(self.client(4003)), b"HELLO")

    def test_listensNoMore(self) -> None:
        """
        An inlet that is only for datagrams from now on listens no more, and has the streams
        that it had; another one may listen there at once.
        """
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        port = self.network.ports["127.0.0.1:4001"]
        deaf = evolve(self.inlet("a", 4001), listen="")
        self.apply(self.service, self.inlets(deaf, self.inlet("b", 4001, EVERYONE)))
        self.assertIs(self.network.ports["127.0.0.1:4001"], port)
        self.network.advance(1)
        self.assertEqual(self.says(self.client(4001)), b"HELLO")
        self.apply(self.service, self.inlets(deaf))
        self.network.advance(1)
        self.assertNotIn("127.0.0.1:4001", self.network.ports)
        self.assertEqual(self.says(client), b"HELLO")
        self.apply(self.service, self.inlets(self.inlet("a", 4001)))
        self.network.advance(1)
        self.assertEqual(self.says(self.client(4001)), b"HELLO")
        self.assertEqual(self.says(client), b"HELLO")

    def test_renamed(self) -> None:
        """
        Another inlet at the same place takes the port over: it never was
        closed.
        """
        port = self.network.ports["127.0.0.1:4001"]
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        result = self.apply(self.service, self.inlets(self.inlet("b", 4001)))
        self.assertEqual((result["added"], result["removed"]), (["inlet b"], ["inlet a"]))
        self.assertIs(self.network.ports["127.0.0.1:4001"], port)
        self.network.advance(1)
        self.assertEqual(self.says(self.client(4001)), b"HELLO")
        self.assertEqual(self.says(client), b"HELLO")

    def test_swapped(self) -> None:
        """
        Two inlets change places.
        """
        self.apply(self.service, self.inlets(self.inlet("a", 4001), self.inlet("b", 4002, EVERYONE)))
        first, second = [each for each in self.service.node._portals]
        self.apply(self.service, self.inlets(self.inlet("a", 4002), self.inlet("b", 4001, EVERYONE)))
        self.network.advance(1)
        self.assertEqual(self.says(self.client(4002)), b"HELLO")
        self.assertEqual((len(first.streams), len(second.streams)), (1, 0))
        self.assertEqual(self.says(self.client(4001)), b"HELLO")
        self.assertEqual((len(first.streams), len(second.streams)), (1, 1))

    def test_takenOver(self) -> None:
        """
        An inlet takes the place of another one that is removed, or goes elsewhere.
        """
        both = self.inlets(self.inlet("a", 4001), self.inlet("b", 4002, EVERYONE))
        for others in ((), (self.inlet("a", 4003),)):
            self.apply(self.service, both)
            self.apply(self.service, self.inlets(*others, self.inlet("b", 4001, EVERYONE)))
            self.network.advance(1)
            ports = {each for each in self.network.ports if each.endswith((":4001", ":4002", ":4003"))}
            wanted = {"127.0.0.1:4001"} | ({"127.0.0.1:4003"} if others else set())
            self.assertEqual(ports, wanted)
            for port in wanted:
                self.assertEqual(self.says(self.client(int(port[-4:]))), b"HELLO")

    def test_ownPort(self) -> None:
        """
        A place that is only written in another way is no place that somebody
        else has.
        """
        inlet = evolve(self.inlet("a", 4001), listen="tcp:4001:interface=127.0.0.1")
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        self.apply(self.service, self.inlets(inlet))
        self.assertEqual(self.says(self.client(4001)), b"HELLO")
        self.assertEqual(self.says(client), b"HELLO")

    def test_portTaken(self) -> None:
        """
        A port that cannot be had changes nothing at all, and is named.
        """
        self.reactor.taken.add(4007)
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        new = (evolve(self.inlet("a", 4001), listen="tcp:4001:interface=127.0.0.1"), self.inlet("c", 4003))
        reason = self.refused(self.service, self.inlets(*new, self.inlet("b", 4007)), StateUnusable)
        self.assertEqual(reason, "cannot listen on tcp:4007: Address already in use")
        self.assertNotIn("127.0.0.1:4003", self.network.ports)
        self.assertEqual(self.says(client), b"HELLO")
        self.assertEqual(self.says(self.client(4001)), b"HELLO")

    def test_trust(self) -> None:
        """
        An outlet that is not trusted any more has no streams any more.
        """
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        self.apply(self.service, self.inlets(self.inlet("a", 4001, TrustConfig((WHO,)))))
        self.assertEqual(self.says(client), b"")
        self.network.advance(1)
        self.assertEqual(self.says(self.client(4001)), b"")
        self.apply(self.service, self.config)
        self.network.advance(1)
        self.assertEqual(self.says(self.client(4001)), b"HELLO")

    def test_trustWider(self) -> None:
        """
        More that are trusted disturb nobody.
        """
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        self.apply(self.service, self.inlets(self.inlet("a", 4001, TrustConfig((self.who, WHO)))))
        self.network.advance(1)
        self.assertEqual(self.says(client), b"HELLO")
        self.assertEqual(self.says(self.client(4001)), b"HELLO")

    def test_wayMoved(self) -> None:
        """
        Another way to the same outlet: streams go on over it.
        """
        self.start(evolve(RELAY, listeners=("tcp:4005",)))
        second = RegistrationConfig("tcp:host=127.0.0.1:port=4005", "127.0.0.1:4005")
        self.apply(self.outlet, evolve(OUTLET, registrations=(*OUTLET.registrations, second)))
        self.network.advance(1)
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        other = self.way.replace("4000", "4005")
        self.apply(self.service, self.inlets(self.inlet("a", 4001, None, other)))
        for _ in range(4):
            self.network.advance(1)
        [(session, _)] = self.service.node.sessions()
        self.assertIn("4005", session.established.description)
        self.assertEqual(self.says(client), b"HELLO")
        # The old registration can go now, and nobody notices.
        result = self.apply(self.outlet, evolve(OUTLET, registrations=(second,)))
        self.assertEqual(result["removed"], ["relay 127.0.0.1:4000"])
        self.network.advance(1)
        self.assertEqual(len(self.outlet.node.sessions()), 1)
        self.assertEqual(self.says(client), b"HELLO")
        self.assertEqual(self.says(self.client(4001)), b"HELLO")

    def test_wayAdded(self) -> None:
        """
        An outlet that is added, and one that is taken away: those of the one
        that stays go on, the other one drains.
        """
        other = self.start(evolve(OUTLET, outlets=OUTLET.outlets))
        self.network.advance(1)
        whom = str(other.node.identifier)
        ways = [f"{who}@{self.way.replace(self.who, who)}" for who in (self.who, whom)]
        self.apply(self.service, self.inlets(InletConfig("tcp:4001", tuple(ways), TrustConfig(), name="a")))
        self.network.advance(1)
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        self.assertEqual(len(self.outlet.node._portals[0].streams), 1)
        self.assertEqual(len(self.service.node.sessions()), 2)
        alone = self.inlets(InletConfig("tcp:4001", (ways[1],), TrustConfig(), name="a"))
        self.apply(self.service, evolve(alone, drainTimeout=1.0))
        self.assertEqual(len(self.service.node.sessions()), 1)
        self.assertEqual(self.says(self.client(4001)), b"HELLO")
        self.assertEqual(len(other.node._portals[0].streams), 1)

    def test_restart(self) -> None:
        """
        What cannot be changed is refused in one line, with all that stands
        beside it.
        """
        new = evolve(self.inlets(self.inlet("b", 4002)), state=evolve(MEMORY, instance="other"))
        reason = self.refused(self.service, new)
        self.assertIn("needs a restart", reason)
        self.assertIn("state", reason)

    def test_wrong(self) -> None:
        """
        So is what cannot be at all.
        """
        new = self.inlets(self.inlet("b", 4002, None, "/nonsense/1"))
        self.assertIn("nonsense", self.refused(self.service, new, OckamError))
        unpaired = self.inlets(InletConfig("tcp:4002", (), TrustConfig(), name="b"))
        self.assertIn("ticket", self.refused(self.service, unpaired, OckamError))

    def test_stopping(self) -> None:
        """
        A node that drains is not changed, and what leaves does not hold it
        up.
        """
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        self.apply(self.service, self.inlets())
        stopped = self.service.stopService()
        self.assertIn("about to stop", self.refused(self.service, self.config, StateUnusable))
        self.network.advance(6)
        self.reactor.wait(stopped)


class OutletTests(ReloadTestCase):
    """
    A node with outlets.
    """

    def setUp(self) -> None:
        super().setUp()
        self.serve(5000)
        self.serve(5001)
        self.config = NodeConfig(
            "ockam-node",
            MEMORY,
            listeners=("tcp:4000",),
            trust=EVERYONE,
            outlets=(self.made("one"), self.made("two")),
            drainTimeout=5.0,
        )
        self.service = self.start(self.config)
        self.people = [self.person(4001, "one"), self.person(4002, "two")]
        self.network.advance(1)

    def made(self, address: str, port: int = 5000, trust: TrustConfig | None = None) -> OutletConfig:
        """
        An outlet.
        """
        return OutletConfig(f"tcp:host=127.0.0.1:port={port}", f"127.0.0.1:{port}", address, trust)

    def person(self, port: int, address: str) -> NodeService:
        """
        Somebody who has an inlet.
        """
        way = f"/ip4/127.0.0.1/tcp/4000/secure/api/service/{address}"
        return self.start(NodeConfig("ockam-inlet", MEMORY, inlets=(InletConfig(f"tcp:{port}", way, EVERYONE),)))

    def test_allow(self) -> None:
        """
        An outlet that lets somebody in no more ends what they have; another
        one, and another peer, notice nothing.
        """
        first, second = [str(each.node.identifier) for each in self.people]
        clients = [self.client(4001), self.client(4002)]
        for client in clients:
            self.assertEqual(self.says(client), b"HELLO")
        result = self.apply(
            self.service,
            evolve(self.config, outlets=(self.made("one", trust=TrustConfig((second,))), self.made("two"))),
        )
        self.assertEqual((result["changed"], result["kept"]), (["outlet one"], ["listener tcp:4000", "outlet two"]))
        self.assertEqual([self.says(client) for client in clients], [b"", b"HELLO"])
        self.assertEqual(self.says(self.client(4001)), b"")
        self.apply(self.service, evolve(self.config, outlets=(self.made("one", trust=TrustConfig((first,))),)))
        self.assertEqual(self.says(self.client(4001)), b"HELLO")
        self.assertEqual(self.says(clients[1]), b"HELLO")

    def test_policy(self) -> None:
        """
        The same by a policy.
        """
        first = str(self.people[0].node.identifier)
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        for allow, isLetIn in ((f'(= subject.identifier "{first}")', True), (f'(= subject.identifier "{WHO}")', False)):
            its = self.made("one", trust=TrustConfig(allow=allow))
            self.apply(self.service, evolve(self.config, outlets=(its, self.made("two"))))
            self.assertEqual(self.says(client), b"HELLO" if isLetIn else b"")

    def test_trust(self) -> None:
        """
        Whom the node trusts no more has no channel any more.
        """
        second = str(self.people[1].node.identifier)
        clients = [self.client(4001), self.client(4002)]
        for client in clients:
            self.assertEqual(self.says(client), b"HELLO")
        result = self.apply(self.service, evolve(self.config, trust=TrustConfig((second,))))
        self.assertEqual(result["changed"], ["trust"])
        self.network.advance(1)
        self.assertEqual([self.says(client) for client in clients], [b"", b"HELLO"])

    def test_target(self) -> None:
        """
        With another target, new streams go there; those that are open go on.
        """
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        self.apply(self.service, evolve(self.config, outlets=(self.made("one", 5009), self.made("two"))))
        self.assertEqual(self.says(client), b"HELLO")
        self.assertEqual(self.says(self.client(4001)), b"")
        self.apply(self.service, evolve(self.config, outlets=(self.made("one", 5001), self.made("two"))))
        self.assertEqual(self.says(self.client(4001)), b"HELLO")

    def test_removed(self) -> None:
        """
        A removed outlet takes no new streams, and lets those that are there
        come to their end.
        """
        clients = [self.client(4001), self.client(4002)]
        for client in clients:
            self.assertEqual(self.says(client), b"HELLO")
        self.apply(self.service, evolve(self.config, outlets=(self.made("two"),)))
        self.assertEqual(self.says(self.client(4001)), b"")
        self.assertEqual([self.says(client) for client in clients], [b"HELLO", b"HELLO"])
        self.network.advance(6)
        self.assertEqual([self.says(client) for client in clients], [b"", b"HELLO"])
        self.assertEqual(len(self.service.node._portals), 1)
        # It may be there again.
        self.apply(self.service, self.config)
        self.assertEqual(self.says(self.client(4001)), b"HELLO")

    def test_back(self) -> None:
        """
        One that comes back takes new streams again, and has its old ones.
        """
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        self.apply(self.service, evolve(self.config, outlets=(self.made("two"),)))
        self.apply(self.service, self.config)
        self.network.advance(8)
        self.assertEqual(self.says(client), b"HELLO")
        self.assertEqual(self.says(self.client(4001)), b"HELLO")

    def test_listener(self) -> None:
        """
        A removed listener accepts nobody, and lets who is connected go on for
        a while; one that is added does.
        """
        client = self.client(4001)
        self.assertEqual(self.says(client), b"HELLO")
        result = self.apply(self.service, evolve(self.config, listeners=("tcp:4009",)))
        self.assertEqual((result["added"], result["removed"]), (["listener tcp:4009"], ["listener tcp:4000"]))
        self.assertEqual(self.service.node.status().listeners, ("tcp:4009",))
        self.assertNotIn("127.0.0.1:4000", self.network.ports)
        self.network.advance(2)
        self.assertEqual(self.says(client), b"HELLO")
        self.network.advance(6)
        self.assertEqual(self.service.node.transport.hops, set())
        self.apply(self.service, self.config)
        self.network.advance(2)
        self.network.advance(2)
        self.assertEqual(self.says(self.client(4001)), b"HELLO")

    def test_none(self) -> None:
        """
        Without outlets nobody is let in, once the last one has left.
        """
        self.apply(self.service, evolve(self.config, outlets=()))
        self.network.advance(1)
        self.assertIsNone(self.service._parts.reception.listener)
        self.apply(self.service, self.config)
        self.network.advance(5)
        self.assertEqual(self.says(self.client(4001)), b"HELLO")

    def test_settings(self) -> None:
        """
        What holds for the whole node is changed, and said.
        """
        result = self.apply(self.service, evolve(self.config, resumeTimeout=7.0, maxFrame=99_999, drainTimeout=1.0))
        self.assertEqual(result["changed"], ["frame size", "drain timeout", "resume timeout"])
        self.assertEqual(self.service.node.streamSettings.resumeTimeout, 7.0)
        self.assertEqual(self.service.node.transport.settings.maxFrame, 99_999)

    def test_rendezvous(self) -> None:
        """
        Direct ways are looked for from now on, or not any more; somebody else is asked.
        """
        punctures = self.service.node.punctures
        for rendezvous in (("192.0.2.9", 4000), ("192.0.2.9", 4001), None):
            result = self.apply(self.service, evolve(self.config, rendezvous=rendezvous))
            self.assertEqual(result["changed"], ["rendezvous"])
            self.assertEqual(punctures.rendezvous, rendezvous)


class RereadTests(ReloadTestCase):
    """
    Where a configuration is read again.
    """

    def test_nothing(self) -> None:
        """
        Who was started by options says that there is nothing to read.
        """
        service = self.start(RELAY)
        self.assertIn("started by options", str(self.failureResultOf(service.reload(), ConfigurationError).value))
        self.assertTrue(any(line.startswith("Not reloaded: ockam-relay was started") for line in self.logged))

    def test_read(self) -> None:
        """
        What is read is applied, what cannot be read changes nothing, and both
        are logged.
        """
        config = evolve(RELAY, drainTimeout=1.0)
        service = NodeService(RELAY, self.reactor, lambda: config)
        service.startService()
        self.addCleanup(self.end, service)
        self.reactor.wait(service.ready)
        result = self.reactor.wait(service.reload())
        self.assertEqual(result["changed"], ["drain timeout"])
        self.assertIn("Reloaded: 0 added, 0 removed, 1 changed, 1 as before", self.logged)

        def fails() -> NodeConfig:
            raise ConfigurationError("line 4: no")

        service._reread = fails
        self.failureResultOf(service.reload(), ConfigurationError)
        self.assertIn("Not reloaded: line 4: no", self.logged)
