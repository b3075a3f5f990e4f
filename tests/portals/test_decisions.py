"""
Tests for L{ockam_twisted.portals.decisions}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.portals.decisions import Decisions
from ockam_twisted.portals.refusals import INTERVAL
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.routing.addresses import Address
from tests.decisions import decisions


class Peer:
    """
    As much of one as is asked for.
    """

    identifier = "Iwho"


class Only:
    """
    Admits nobody but one.
    """

    def __init__(self, one: object) -> None:
        self.one = one

    def refusal(self, peer: object) -> str:
        return "" if peer is self.one else "it is not the one"


class DecisionsTests(SynchronousTestCase):
    """
    Tests for L{Decisions}.
    """

    def setUp(self) -> None:
        """
        Somebody who may, and what is logged.
        """
        self.clock = Clock()
        self.settings = StreamSettings(self.clock)  # type: ignore[arg-type]
        self.peer: Any = Peer()
        admission: Any = Only(self.peer)
        self.decisions = Decisions(Address.local("outlet"), admission, self.settings)
        self.made = decisions(self)

    def test_refusal(self) -> None:
        """
        Who decides is asked; if there is nobody to decide, everybody may.
        """
        self.assertEqual(self.decisions.refusal(self.peer), "")
        self.assertEqual(self.decisions.refusal(None), "it is not the one")
        self.decisions.admission = None
        self.assertEqual(self.decisions.refusal(None), "")

    def test_made(self) -> None:
        """
        That somebody may not is always said, that somebody may only to who wants to read it.
        """
        self.decisions.made(self.peer, "", "open")
        self.decisions.made(None, "it is not the one", "open")
        self.settings.tells = True
        self.decisions.made(self.peer, "", "go on")
        self.assertEqual(
            self.made,
            [
                ("stream-denied", "refused", "somebody without a secure channel"),
                ("stream-allowed", "allowed", "Iwho"),
            ],
        )

    def test_refused(self) -> None:
        """
        The same reason is said once in a while.
        """
        said: list[str] = []

        def observe(event: Any) -> None:
            said.append(event["log_format"].format(**event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        for _ in range(3):
            self.decisions.refused("there are 2 already")
        self.decisions.refused("it is shutting down")
        self.clock.advance(INTERVAL)
        self.decisions.refused("there are 2 already")
        full = "A stream was refused: there are 2 already"
        self.assertEqual(said, [full, "A stream was refused: it is shutting down", full])
