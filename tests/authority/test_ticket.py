"""
Tests for L{ockam_twisted.authority.ticket}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.errors import InvalidTicket
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.routing.multiaddr import MultiAddr

A, B = Identifier.fromDigest(bytes(32)), Identifier.fromDigest(b"\x01" * 32)
WAY = MultiAddr.fromText(f"/dnsaddr/relay.example.com/tcp/4000/service/forward_to_{A}/secure/api/service/outlet")
AT = MultiAddr.fromText("/ip4/192.0.2.1/tcp/4000/secure/api")
SMALL = Ticket((WAY,), A, 2_000_000_000, bytes(range(32)))
LARGE = Ticket((WAY, WAY), None, 5, b"c" * 32, '(= subject.ockam-outlet "db")', B, (AT,))


class TicketTests(SynchronousTestCase):
    """
    The text form.
    """

    def test_roundTrip(self) -> None:
        """
        The text gives back what was put in, also when it was wrapped,
        indented or capitalised on its way.
        """
        for ticket in (SMALL, LARGE):
            text = str(ticket)
            self.assertEqual(Ticket.fromText(text), ticket)
            wrapped = "\n   ".join(text[i : i + 60] for i in range(0, len(text), 60))
            self.assertEqual(Ticket.fromText(f"  {wrapped}\n"), ticket)
            self.assertEqual(Ticket.fromText(text.upper()), ticket)

    def test_oneWord(self) -> None:
        """
        A double click selects all of it.
        """
        self.assertRegex(str(LARGE), r"\Aockamticket1[a-z0-9]+\Z")

    def test_noSecretShown(self) -> None:
        """
        The code is not in the representation that a log might get.
        """
        self.assertNotIn("code", repr(SMALL))
        self.assertNotIn(str(bytes(range(8)))[2:-1], repr(SMALL))

    def test_truncated(self) -> None:
        """
        A text that was cut anywhere is called damaged, or no ticket.
        """
        text = str(SMALL)
        for length in range(len(text)):
            why = str(self.assertRaises(InvalidTicket, Ticket.fromText, text[:length]))
            self.assertIn("this", why)
            if length > 12:
                self.assertIn("is it all there?", why)

    def test_changed(self) -> None:
        """
        One wrong character anywhere is noticed.
        """
        text = str(SMALL)
        for place in range(12, len(text)):
            wrong = text[:place] + ("b" if text[place] != "b" else "c") + text[place + 1 :]
            self.assertRaises(InvalidTicket, Ticket.fromText, wrong)

    def test_version(self) -> None:
        """
        A ticket of another version is named as such.
        """
        why = str(self.assertRaises(InvalidTicket, Ticket.fromText, "ockamticket2abc"))
        self.assertIn("another version", why)

    def test_nobodyPinned(self) -> None:
        """
        A ticket that does not say who must be there is none.
        """
        self.assertRaises(InvalidTicket, Ticket.fromText, str(Ticket((WAY,), None, 5, b"c" * 32)))
        self.assertRaises(InvalidTicket, Ticket.fromText, str(Ticket((WAY,), None, 5, b"c" * 32, policy="x")))
        self.assertRaises(
            InvalidTicket, Ticket.fromText, str(Ticket((WAY,), None, 5, b"c" * 32, policy="(no", authority=A))
        )

    def test_checkTime(self) -> None:
        """
        An expired one says since when.
        """
        SMALL.checkTime(1_999_999_999)
        why = str(self.assertRaises(InvalidTicket, SMALL.checkTime, 2_000_000_000 + 3600))
        self.assertIn("60 minutes ago", why)

    def test_issuer(self) -> None:
        """
        The code is for the authority where there is one.
        """
        self.assertEqual(SMALL.issuer, A)
        self.assertEqual(LARGE.issuer, B)
        self.assertNotEqual(SMALL.digest, LARGE.digest)

    @given(st.text(max_size=60))
    def test_garbage(self, text: str) -> None:
        """
        What is none raises our own error only.
        """
        for each in (text, "ockamticket1" + text):
            self.assertRaises(InvalidTicket, Ticket.fromText, each)
