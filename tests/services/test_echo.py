"""
Tests for L{ockam_twisted.services.echo}.
"""

from __future__ import annotations

from ockam_twisted.routing.addresses import Address
from ockam_twisted.services.echo import MAX_UNPROVEN, RATE, EchoService
from tests.services.common import ServiceTestCase


class EchoTests(ServiceTestCase):
    """
    Tests for L{EchoService}.
    """

    def setUp(self) -> None:
        """
        Bob has one.
        """
        super().setUp()
        self.echo = EchoService(self.bob.router, self.network.clock, consumerIds=self.ids)
        self.echo.startService()

    def test_bytes(self) -> None:
        """
        Exactly the bytes come back, whatever they are.
        """
        for payload in (b"", b"\x00\xff", b"\x1b" + bytes(8), bytes(MAX_UNPROVEN)):
            self.assertEqual(self.ask("echo", payload), [payload])

    def test_unproven(self) -> None:
        """
        Who has proven no identity gets short answers, ten a second.
        """
        self.assertEqual(self.ask("echo", bytes(MAX_UNPROVEN + 1)), [])
        answers = sum(len(self.ask("echo", b"x")) for _ in range(100))
        self.assertEqual(answers, RATE)
        self.network.clock.advance(0.5)
        self.assertEqual(sum(len(self.ask("echo", b"x")) for _ in range(100)), RATE / 2)
        self.network.clock.advance(3600)
        self.assertEqual(sum(len(self.ask("echo", b"x")) for _ in range(100)), RATE)

    def test_others(self) -> None:
        """
        What one uses up is not missing for another.
        """
        for _ in range(100):
            self.ask("echo", b"x")
        self.hop = self.alice.connect(self.bob)
        self.assertEqual(self.ask("echo", b"x"), [b"x"])

    def test_proven(self) -> None:
        """
        Over a channel there is no such limit.
        """
        for _ in range(100):
            self.assertEqual(self.ask("echo", bytes(50_000), True), [bytes(50_000)])

    def test_bounded(self) -> None:
        """
        Sources without end are not remembered.
        """
        for _ in range(5000):
            self.echo._take(Address.random())
        self.assertLessEqual(len(self.echo._left), 4096)
        self.network.clock.advance(1.0)
        self.echo._take(Address.random())
        self.assertEqual(len(self.echo._left), 1)

    def test_full(self) -> None:
        """
        Nothing is answered into a way back that is full.
        """
        output = self.hop.server.protocol.output
        output.full = True
        self.assertEqual(self.ask("echo", b"x"), [])
        output.full = False
        self.assertEqual(self.ask("echo", b"x"), [b"x"])
