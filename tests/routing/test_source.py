"""
Tests for L{ockam_twisted.routing.source}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import ISource
from ockam_twisted.routing.source import Source


class Output:
    """
    As much of an output as a source looks at.
    """

    lost = False


class SourceTests(SynchronousTestCase):
    """
    Tests for L{Source}.
    """

    def setUp(self) -> None:
        """
        A source that notes what is done to it.
        """
        self.events: list[str] = []
        self.own = Output()
        self.dead = False
        self.source = Source(
            lambda: self.events.append("pause"),
            lambda: self.events.append("resume"),
            self.own,
            lambda: self.dead,
            lambda: self.events.append("lose"),
        )

    def test_interface(self) -> None:
        """
        It is an L{ISource}.
        """
        self.assertTrue(verifyObject(ISource, self.source))

    def test_pauses(self) -> None:
        """
        It pauses with the first output that asks and resumes with the last;
        asking twice counts once.
        """
        one, two = Output(), Output()
        self.source.pauseFor(one)
        self.source.pauseFor(one)
        self.source.pauseFor(two)
        self.source.resumeFor(one)
        self.assertEqual(self.events, ["pause"])
        self.source.resumeFor(one)
        self.source.resumeFor(two)
        self.source.resumeFor(two)
        self.assertEqual(self.events, ["pause", "resume"])

    def test_servesOthers(self) -> None:
        """
        Others are outputs it fed that live, besides the one that asks and its
        own.
        """
        one, two = Output(), Output()
        self.source.fed(one)
        self.source.fed(self.own)
        self.assertFalse(self.source.servesOthers(one))
        self.source.fed(two)
        self.assertTrue(self.source.servesOthers(one))
        self.assertTrue(self.source.servesOthers(two))
        two.lost = True
        self.assertFalse(self.source.servesOthers(one))

    def test_goneServesNobody(self) -> None:
        """
        A source whose own connection is gone serves nobody.
        """
        one, two = Output(), Output()
        self.source.fed(one)
        self.source.fed(two)
        self.own.lost = True
        self.assertFalse(self.source.servesOthers(one))

    def test_owns(self) -> None:
        """
        It knows the output of its own connection.
        """
        self.assertTrue(self.source.owns(self.own))
        self.assertFalse(self.source.owns(Output()))

    def test_noOwn(self) -> None:
        """
        A source without an output of its own works the same.
        """
        source = Source(lambda: None, lambda: None, None, lambda: False, lambda: None)
        one, two = Output(), Output()
        source.fed(one)
        source.fed(two)
        self.assertTrue(source.servesOthers(one))

    def test_forgets(self) -> None:
        """
        Outputs that have ended are forgotten in time.
        """
        for _ in range(10_000):
            output = Output()
            self.source.fed(output)
            output.lost = True
        self.assertLess(len(self.source._fed), 300)

    def test_remembersMany(self) -> None:
        """
        Many live outputs are all remembered, and are not gone through again
        and again.
        """
        passes = []

        class Counted(Output):
            @property
            def lost(self) -> bool:
                passes.append(self)
                return False

        outputs = [Counted() for _ in range(1000)]
        for _ in range(5):
            for each in outputs:
                self.source.fed(each)
        self.assertEqual(len(self.source._fed), 1000)
        self.assertLess(len(passes), 2000)

    def test_checkLiveness(self) -> None:
        """
        It is lost when it turns out dead, and only then.
        """
        self.assertTrue(self.source.checkLiveness())
        self.assertEqual(self.events, [])
        self.dead = True
        self.assertFalse(self.source.checkLiveness())
        self.assertEqual(self.events, ["lose"])

    def test_charge(self) -> None:
        """
        Who has made it hears how long it took to do what was asked for; with
        nobody to hear, it may ask for anything.
        """
        charged: list[float] = []
        source = Source(lambda: None, lambda: None, None, lambda: False, lambda: None, charge=charged.append)
        source.charge(1.5)
        self.source.charge(1.5)
        self.assertEqual(charged, [1.5])
        self.assertEqual(self.events, [])
