"""
A link that only notes what is done with it.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.processes.sources import Reports
from ockam_twisted.processes.words import Told
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.router import Router
from ockam_twisted.transports.hops import HopSettings
from ockam_twisted.transports.stalls import StallWatch

WHERE = Address.local("where")


class Feeder:
    """
    A source, or what keeps one full.
    """

    def __init__(self) -> None:
        self.askers: set[Any] = set()
        self.sent = 0

    def pauseFor(self, asker: Any) -> None:
        """
        See L{ISource.pauseFor}.
        """
        self.askers.add(asker)

    def resumeFor(self, asker: Any) -> None:
        """
        See L{ISource.resumeFor}.
        """
        self.askers.discard(asker)


class Below(Feeder):
    """
    The output of a link.
    """

    full = False
    queued = 0

    def __init__(self) -> None:
        super().__init__()
        self.written: list[tuple[bytes, int]] = []
        self.held: list[Any] = []

    def write(self, pieces: Any, size: int) -> None:
        """
        See L{IOutput.write}.
        """
        self.written.append((b"".join(pieces), size))

    def holdBack(self, source: Any) -> None:
        """
        See L{IOutput.holdBack}.
        """
        self.held.append(source)


class FakeLink:
    """
    What is said, and sent.
    """

    spawnerId = "spawner"

    def __init__(self, clock: Clock) -> None:
        self.settings = HopSettings(Router(), clock, StallWatch(clock))
        self.output: Any = Below()
        self.reports = Reports(clock)
        self.said: list[Any] = []
        self.flows: list[Any] = []

    def say(self, what: Told, address: Address, *values: object) -> None:
        """
        Note it.
        """
        assert address == WHERE
        self.said.append((what, *values))

    def sender(self, *flow: Any) -> Any:
        """
        Note it.
        """
        self.flows.append(flow)
        return flow[0].write


class FarTestCase(SynchronousTestCase):
    """
    A link that only listens.
    """

    def setUp(self) -> None:
        """
        Make it.
        """
        self.clock = Clock()
        self.link = FakeLink(self.clock)
        self.turn = self.link.settings.router.turn
