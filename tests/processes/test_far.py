"""
Tests of L{ockam_twisted.processes.far}; see also
L{tests.processes.test_link}.
"""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import IHop, IOutput
from ockam_twisted.processes.far import FarConnection, FarOutput
from ockam_twisted.processes.words import Told
from tests.processes.links import WHERE, FarTestCase, Feeder


class FarOutputTests(FarTestCase):
    """
    What goes to one place behind a link.
    """

    def setUp(self) -> None:
        super().setUp()
        self.output = FarOutput(self.link, WHERE, "somewhere")

    def test_interface(self) -> None:
        """
        It is an output like any other.
        """
        verifyObject(IOutput, self.output)

    def test_turn(self) -> None:
        """
        What is written in a turn leaves in one piece at its end.
        """
        with self.turn:
            self.output.write((b"one", b"two"), 6)
            self.output.write((b"three",), 5)
            self.assertEqual(self.link.output.written, [])
        self.assertEqual(self.link.output.written, [(b"onetwothree", 11)])

    def test_full(self) -> None:
        """
        Full at the other side, it holds back those who feed it; they go on
        when there is room, and when it is gone.
        """
        for end in (self.output.eased, self.output.connectionLost):
            feeder: Any = Feeder()
            self.output.filled()
            self.assertTrue(self.output.full)
            self.output.holdBack(feeder)
            self.output.holdBack(feeder)
            self.assertEqual(feeder.askers, {self.output})
            end()
            self.assertEqual((feeder.askers, self.output.full), (set(), False))
        self.output.filled()
        self.assertFalse(self.output.full)

    def test_linkFull(self) -> None:
        """
        While the link itself is full it is the link that holds back.
        """
        feeder: Any = Feeder()
        self.link.output.full = True
        self.link.output.queued = 7
        self.assertTrue(self.output.full)
        self.assertEqual(self.output.queued, 7)
        self.output.holdBack(feeder)
        self.assertEqual((self.link.output.held, feeder.askers), ([feeder], set()))

    def test_end(self) -> None:
        """
        All that ends it is said to the other side, which has it.
        """
        self.output.loseConnection()
        self.output.finish()
        self.output.resetConnection()
        self.output.abortConnection()
        self.assertEqual(
            self.link.said,
            [
                (Told.END, False, ""),
                (Told.END, False, ""),
                (Told.END, True, "it is to be reset"),
                (Told.CLEAR,),
            ],
        )

    def test_lost(self) -> None:
        """
        What is written to something that is gone goes nowhere.
        """
        self.output.connectionLost()
        self.output.write((b"late",), 4)
        self.assertEqual(self.link.output.written, [])

    def test_noWindows(self) -> None:
        """
        Nobody bounds what comes here by a window.
        """
        self.assertRaises(NotImplementedError, self.output.watchProgress, 0, lambda: None)


class FarConnectionTests(FarTestCase):
    """
    A connection of another process.
    """

    def setUp(self) -> None:
        super().setUp()
        self.far = FarConnection(self.link, WHERE, "192.0.2.1:5")
        self.far.start()

    def test_interface(self) -> None:
        """
        It is a hop, at the address that it has everywhere, and what comes
        from it is from outside.
        """
        verifyObject(IHop, self.far)
        router = self.link.settings.router
        self.assertIs(router.worker(WHERE), self.far)
        self.assertEqual(router.flowControls.producerId(WHERE), self.far.flowId)

    def test_gone(self) -> None:
        """
        Whoever waits for its end is told, also afterwards.
        """
        before = self.far.whenLost()
        self.far.gone()
        for each in (before, self.far.whenLost()):
            self.assertEqual(self.successResultOf(each), "it has ended")
        self.assertIsNone(self.link.settings.router.worker(WHERE))
        self.assertIsNone(self.link.settings.router.worker(self.far.receiver))

    def test_end(self) -> None:
        """
        To end it is to ask the process that has it.
        """
        self.far.loseConnection()
        self.far.abortConnection("it is wrong")
        self.assertEqual(self.link.said, [(Told.END, False, ""), (Told.END, True, "it is wrong")])

    def test_blocked(self) -> None:
        """
        Its silence means nothing while nothing can be sent there.
        """
        self.assertFalse(self.far.isBlocked)
        self.far.output.filled()
        self.assertTrue(self.far.isBlocked)
