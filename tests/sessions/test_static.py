"""
Tests of L{ockam_twisted.sessions.static}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ockam_twisted.interfaces import IWay
from ockam_twisted.routing.addresses import Route
from ockam_twisted.sessions.static import StaticWay


class StaticWayTests(SynchronousTestCase):
    """
    A way that is always up.
    """

    def test_way(self) -> None:
        """
        The route is there at once.
        """
        way = StaticWay(Route.of("outlet"))
        self.assertTrue(verifyObject(IWay, way))
        self.assertEqual(self.successResultOf(way.whenUp()), Route.of("outlet"))
        way.suspect("anything")
        way.changed(lambda route: None)()
        self.assertEqual(way.route, Route.of("outlet"))
