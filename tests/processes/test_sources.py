"""
Tests of L{ockam_twisted.processes.sources}; see also
L{tests.processes.test_link}.
"""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import ISource
from ockam_twisted.processes.sources import LinkSource
from ockam_twisted.processes.words import Told
from ockam_twisted.transports.allowance import BURST, Allowance
from tests.processes.links import WHERE, FarTestCase, Feeder


class LinkSourceTests(FarTestCase):
    """
    What comes over a link for one place.
    """

    def setUp(self) -> None:
        super().setUp()
        self.source = LinkSource(self.link, WHERE)
        self.one, self.two = Feeder(), Feeder()

    def test_interface(self) -> None:
        """
        It is a source; who suffers from its pause is judged elsewhere.
        """
        verifyObject(ISource, self.source)
        output: Any = None
        self.assertFalse(self.source.servesOthers(output) or self.source.owns(output))

    def test_pauses(self) -> None:
        """
        The other side hears of the first pause and of the last end.
        """
        for asker in (self.one, self.two, self.one):
            self.source.pauseFor(asker)
        self.source.resumeFor(self.one)
        self.assertTrue(self.source)
        self.source.resumeFor(self.one)
        self.source.resumeFor(self.two)
        self.assertFalse(self.source)
        self.assertEqual(self.link.said, [(Told.FULL,), (Told.ROOM,)])

    def test_progress(self) -> None:
        """
        While it is paused it is told each second how much has left, if
        anything has.
        """
        self.one.sent = 1000
        self.source.pauseFor(self.one)
        self.one.sent = 1500
        self.clock.pump([0.5] * 8)
        self.one.sent = 1600
        self.clock.pump([0.5] * 2)
        self.assertEqual(self.link.said, [(Told.FULL,), (Told.PROGRESS, 500), (Told.PROGRESS, 100)])
        self.source.resumeFor(self.one)
        self.clock.pump([0.5] * 4)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_shortPauses(self) -> None:
        """
        What is full again and again, each time for less than a second, makes
        progress all the same.
        """
        for _ in range(3):
            self.source.pauseFor(self.one)
            self.clock.advance(0.1)
            self.one.sent += 10
            self.source.resumeFor(self.one)
        told = [each[1] for each in self.link.said if each[0] == Told.PROGRESS]
        self.assertEqual(told, [10, 10, 10])

    def test_charge(self) -> None:
        """
        A connection that asks for more than it may is paused; what comes from
        a process that has let it pass is not.
        """
        self.source.charge(BURST + 1)
        self.assertFalse(self.source.isPaused)
        self.source.allowance = Allowance(self.clock, self.source)
        self.source.charge(BURST)
        self.assertFalse(self.source.isPaused)
        self.source.charge(0.001)
        self.assertTrue(self.source.isPaused)
        self.source.allowance.close()
        self.link.reports.stop()

    def test_stop(self) -> None:
        """
        When the link is gone nothing more is told.
        """
        self.source.pauseFor(self.one)
        self.link.reports.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
