"""
Tests of L{ockam_twisted.sessions.changing}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import IRotation
from ockam_twisted.sessions.changing import Current
from ockam_twisted.sessions.session import Session, State
from tests.sessions.common import Attempts


class CurrentTests(SynchronousTestCase):
    """
    A session that is to try something else.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.old, self.new = Attempts(), Attempts()
        self.current = Current(self.old)
        self.session = Session(self.clock, self.current, "way")
        self.session.startService()
        self.addCleanup(self.session.stopService)

    def test_interface(self) -> None:
        """
        It is a rotation, also of what is none.
        """
        verifyObject(IRotation, self.current)
        self.current.moveOn()

    def test_up(self) -> None:
        """
        What is in use stays until there is something else.
        """
        made = self.old.succeed("old")
        self.clock.advance(11)
        self.current.become(self.new, self.session, False)
        self.assertEqual(self.session.state, State.RENEWING)
        self.assertFalse(made.isClosed)
        self.new.succeed("new")
        self.assertEqual(self.session.route, self.session.established.route)
        self.assertIn("new", self.session.established.description)
        self.clock.pump([1.0] * 3)
        self.assertTrue(made.isClosed)

    def test_doubted(self) -> None:
        """
        If somebody else must be there it ends at once, and is made anew.
        """
        made = self.old.succeed("old")
        self.current.become(self.new, self.session, True)
        self.assertTrue(made.isClosed)
        self.assertIsNone(self.session.route)
        self.assertEqual(len(self.new.tries), 1)
        self.new.succeed("new")
        self.assertEqual(self.session.state, State.UP)

    def test_trying(self) -> None:
        """
        An attempt that is under way is given up, and the other one begins.
        """
        self.current.become(self.new, self.session, False)
        self.assertEqual((self.old.canceled, len(self.new.tries)), (1, 1))
        self.new.succeed("new")
        self.assertEqual(self.session.state, State.UP)

    def test_waiting(self) -> None:
        """
        What waits for its next try does not wait any more.
        """
        self.old.tries[-1].cancel()
        self.assertEqual(self.session.state, State.WAITING)
        self.current.become(self.new, self.session, False)
        self.assertEqual(len(self.new.tries), 1)

    def test_renewing(self) -> None:
        """
        An attempt at replacing what is in use is given up for the other one.
        """
        self.old.succeed("old")
        self.clock.advance(11)
        self.session.leave("it is about to end")
        self.assertEqual(self.session.state, State.RENEWING)
        self.current.become(self.new, self.session, False)
        self.assertEqual(self.old.canceled, 1)
        self.clock.pump([1.0] * 12)
        self.assertEqual(len(self.new.tries), 1)
        self.new.succeed("new")
        self.assertIn("new", self.session.established.description)
