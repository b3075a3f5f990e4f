"""
Tests for L{ockam_twisted.portals.patience}.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.portals.patience import LINGER, Patience
from ockam_twisted.wire.extension import RESET_BY_PEER, ROUTE_LOST


class _Exchange:
    """
    What of one is looked at.
    """

    theirFinal: int | None = None
    acknowledged = 0

    @property
    def sending(self) -> Any:
        return self


class PatienceTests(SynchronousTestCase):
    """
    Of one stream.
    """

    def setUp(self) -> None:
        self.clock = Clock()
        self.exchange = _Exchange()
        self.ended: list[int] = []
        self.patience = Patience(self.clock, cast(Any, self.exchange), lambda code, reason: self.ended.append(code))

    def test_expect(self) -> None:
        """
        A way has to come within a while, each time anew.
        """
        self.patience.expect(30)
        self.clock.advance(29)
        self.patience.expect(30)
        self.clock.advance(29)
        self.assertEqual(self.ended, [])
        self.clock.advance(1)
        self.assertEqual(self.ended, [ROUTE_LOST])

    def test_linger(self) -> None:
        """
        Who takes something, however slowly, is waited for; who takes nothing
        is not.
        """
        self.patience.linger()
        for _ in range(5):
            self.exchange.acknowledged += 1
            self.clock.advance(LINGER)
        self.assertEqual(self.ended, [])
        self.clock.advance(LINGER)
        self.assertEqual(self.ended, [RESET_BY_PEER])

    def test_ended(self) -> None:
        """
        Who has ended may take its time, as if somebody were still there.
        """
        self.patience.linger()
        self.exchange.theirFinal = 0
        self.clock.advance(10 * LINGER)
        self.assertEqual((self.ended, self.clock.getDelayedCalls()), ([], []))

    def test_both(self) -> None:
        """
        Who waits for a way waits for no more than that; who waits for the end
        waits for the way instead, once that is lost.
        """
        self.patience.expect(2 * LINGER)
        self.patience.linger()
        self.clock.advance(LINGER)
        self.patience.close()
        self.patience.linger()
        self.patience.expect(10)
        self.clock.advance(10)
        self.assertEqual((self.ended, self.clock.getDelayedCalls()), ([ROUTE_LOST], []))

    def test_close(self) -> None:
        """
        Nothing is waited for in the end.
        """
        self.patience.linger()
        self.patience.close()
        self.patience.close()
        self.clock.advance(LINGER)
        self.assertEqual((self.ended, self.clock.getDelayedCalls()), ([], []))
