"""
Tests of L{ockam_twisted.offers}.
"""

from __future__ import annotations

import sys
from io import StringIO
from typing import Any

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.administration import WAYS, decodeWays
from ockam_twisted.assembly import NodeService
from ockam_twisted.authority.ticket import MAX_WAYS, Ticket
from ockam_twisted.config import RegistrationConfig, TicketsConfig, TrustConfig
from ockam_twisted.offers import OTHER_RELAYS, _listenerRoads, announce
from ockam_twisted.routing.multiaddr import MultiAddr
from tests.configs import OUTLET, RELAY
from tests.test_assembly import ServiceTestCase

WHO = "I" + "0" * 64


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


TICKETS = TicketsConfig(True)
SECOND = RegistrationConfig("tcp:host=127.0.0.1:port=4009", "127.0.0.1:4009")


class TicketTests(ServiceTestCase):
    """
    The ticket of the start, and how it says the node is reached.
    """

    def outlet(self, **options: Any) -> NodeService:
        """
        An outlet that hands out tickets.
        """
        return self.start(evolve(OUTLET, trust=TrustConfig(), tickets=TICKETS, **options))

    def tickets(self) -> list[Ticket]:
        """
        Those that were shown.
        """
        return [Ticket.fromText(each) for each in self.values("Ticket")]

    def expected(self, service: NodeService, *ports: int) -> tuple[MultiAddr, ...]:
        """
        Ways through relays at some ports.
        """
        end = f"service/forward_to_{service.node.identifier}/secure/api/service/outlet"
        return tuple(MultiAddr.fromText(f"/ip4/127.0.0.1/tcp/{port}/{end}") for port in ports)

    def test_severalRelays(self) -> None:
        """
        It is shown once every relay has registered us, and lists them all.
        """
        self.start(RELAY)
        self.start(evolve(RELAY, listeners=("tcp:4009",)))
        service = self.outlet(registrations=(*OUTLET.registrations, SECOND))
        self.network.advance(1)
        [ticket] = self.tickets()
        self.assertEqual(ticket.ways, self.expected(service, 4000, 4009))

    def test_relayDown(self) -> None:
        """
        It does not wait long for a relay that is down, and lists that, too,
        after those that are up: the name there will be ours.
        """
        self.start(evolve(RELAY, listeners=("tcp:4009",)))
        service = self.outlet(registrations=(*OUTLET.registrations, SECOND))
        self.network.advance(OTHER_RELAYS - 0.5)
        self.assertEqual(self.tickets(), [])
        self.network.advance(1)
        [ticket] = self.tickets()
        self.assertEqual(ticket.ways, self.expected(service, 4009, 4000))
        self.start(RELAY)
        self.network.advance(40)
        # It is the same; what is made from now on has them in order.
        self.assertEqual(len(self.tickets()), 1)
        self.assertEqual(decodeWays(service.node.store.setting(WAYS)), self.expected(service, 4000, 4009))

    def test_noRelay(self) -> None:
        """
        Without any relay there is no ticket yet; where the node is reached is
        known for those that are made by hand.
        """
        service = self.outlet()
        self.network.advance(30)
        self.assertEqual(self.tickets(), [])
        self.assertEqual(decodeWays(service.node.store.setting(WAYS)), self.expected(service, 4000))
        self.start(RELAY)
        self.network.advance(40)
        self.assertEqual(len(self.tickets()), 1)

    def test_listenerToo(self) -> None:
        """
        A node that can be reached directly does not need a relay for its
        ticket.
        """
        tickets = TicketsConfig(True, reachedAt=(("192.0.2.1", 4001),))
        service = self.start(evolve(OUTLET, trust=TrustConfig(), tickets=tickets, listeners=("tcp:4001",)))
        self.network.advance(OTHER_RELAYS + 1)
        [ticket] = self.tickets()
        direct = MultiAddr.fromText("/ip4/192.0.2.1/tcp/4001/secure/api/service/outlet")
        self.assertEqual(ticket.ways, (direct, *self.expected(service, 4000)))

    def test_meetingPlace(self) -> None:
        """
        Where both sides say the same, nobody has to say how the node is reached.
        """
        config = evolve(OUTLET, listeners=("tcp:0", "kafka:b.example:9092:blue", "uds:/run/x"))
        self.assertEqual([each.text for each in _listenerRoads(config)], ["/dnsaddr/b.example/tcp/9092/kafka/blue"])

    def test_stopped(self) -> None:
        """
        A node that is stopped while the ticket waits shows none.
        """
        self.start(RELAY)
        service = self.outlet(registrations=(*OUTLET.registrations, SECOND))
        self.network.advance(1)
        self.end(service)
        self.network.advance(OTHER_RELAYS)
        self.assertEqual(self.tickets(), [])

    def test_tooMany(self) -> None:
        """
        No more ways are listed than a ticket can have.
        """
        relays = tuple(
            RegistrationConfig(f"tcp:host=127.0.0.1:port={port}", f"127.0.0.1:{port}") for port in range(5001, 5030)
        )
        self.start(RELAY)
        self.outlet(registrations=(*OUTLET.registrations, *relays))
        self.network.advance(OTHER_RELAYS + 1)
        [ticket] = self.tickets()
        self.assertEqual(len(ticket.ways), MAX_WAYS)
