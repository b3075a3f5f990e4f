"""
Tests for L{ockam_twisted.authority.ticket}.
"""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.authority.ticket import MAX_OUTLETS, MAX_TEXT, MAX_WAYS, PinnedOutlet, Ticket
from ockam_twisted.errors import InvalidTicket, LocalProtocolError, RemoteProtocolError
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.wire import cbor

A, B = Identifier.fromDigest(bytes(32)), Identifier.fromDigest(b"\x01" * 32)
WAY = MultiAddr.fromText(f"/dnsaddr/relay.example.com/tcp/4000/service/forward_to_{A}/secure/api/service/outlet")
AT = MultiAddr.fromText("/ip4/192.0.2.1/tcp/4000/secure/api")
SMALL = Ticket((WAY,), A, 2_000_000_000, bytes(range(32)))
ELSEWHERE = MultiAddr.fromText(f"/ip6/::1/tcp/4001/service/forward_to_{B}/secure/api/service/outlet")
SEVERAL = Ticket(
    (WAY, ELSEWHERE), A, 5, b"c" * 32, "", B, (AT,), (PinnedOutlet((ELSEWHERE,), B), PinnedOutlet((WAY,), None, "db"))
)
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
        for ticket in (SMALL, LARGE, SEVERAL):
            text = str(ticket)
            self.assertEqual(Ticket.fromText(text), ticket)
            wrapped = "\n   ".join(text[i : i + 60] for i in range(0, len(text), 60))
            self.assertEqual(Ticket.fromText(f"  {wrapped}\n"), ticket)
            self.assertEqual(Ticket.fromText(text.upper()), ticket)

    def test_printed(self) -> None:
        """
        A ticket is found in what a program has printed, with what comes
        before it and after it, also when it was wrapped.
        """
        for ticket in (SMALL, LARGE, SEVERAL):
            text = str(ticket)
            wrapped = "\n  ".join(text[i : i + 79] for i in range(0, len(text), 79))
            for printed in (
                f"Ticket: {text}\n",
                f"ticket:{text}",
                f"Ticket: {wrapped}\n",
                f"Identifier: {A}\nTicket: {text}\nGood for 1 until today; its id is a2b3.\n",
                f"Ticket: {wrapped}\nGood for 1 until today\n",
                f"# for the web\n\n{text}\n\n{str(SMALL)[:40]}\n",
            ):
                self.assertEqual(Ticket.fromText(printed), ticket, printed)

    def test_none(self) -> None:
        """
        What is no ticket, or not all of one, is said.
        """
        for text in ("", "Ticket:", "hello", f"Identifier: {A}", "not-an-ockamticket1abc", str(SMALL)[1:]):
            why = str(self.assertRaises(InvalidTicket, Ticket.fromText, text))
            self.assertEqual(why, "this is no ticket: a ticket begins with ockamticket")
        damaged = f"Ticket: {str(SMALL)[:-1]}\nGood for 1 until today"
        why = str(self.assertRaises(InvalidTicket, Ticket.fromText, damaged))
        self.assertIn("is it all there?", why)

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

    def test_outlets(self) -> None:
        """
        Several outlets, each with who it must be and its own ways; none
        where the ticket only makes a member.
        """
        self.assertEqual(SMALL.outlets, (PinnedOutlet((WAY,), A),))
        self.assertEqual(
            Ticket.fromText(str(SEVERAL)).outlets,
            (PinnedOutlet((WAY, ELSEWHERE), A), PinnedOutlet((ELSEWHERE,), B), PinnedOutlet((WAY,), None, "db")),
        )
        member = Ticket((), None, 5, b"c" * 32, "", B, (AT,))
        self.assertEqual(Ticket.fromText(str(member)).outlets, ())

    def test_isOfRelay(self) -> None:
        """
        The ticket of a relay leads to its listener; those of outlets and
        authorities do not.
        """
        self.assertTrue(Ticket((AT,), A, 5, b"c" * 32).isOfRelay)
        for ticket in (SMALL, SEVERAL, LARGE, Ticket((), None, 5, b"c" * 32, "", B, (AT,))):
            self.assertFalse(ticket.isOfRelay)

    def test_madeBefore(self) -> None:
        """
        Tickets, and what was kept of them, are read that were made before
        there could be several outlets.
        """
        before = (
            "ockamticket1uqaicwb2haixezlmmf4s4zlymfwxa3dffzrw63igb6ql52adb5tg64txmfzgix3un5pwe3dvmxdisbqdmfygtpxiamdg65lun"
            "rsxiakyeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabkyeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaabq3aaaacaaaaaaaa5k3vfda"
        )
        blue = MultiAddr.fromText(
            "/dnsaddr/relay.example.com/tcp/4000/service/forward_to_blue/secure/api/service/outlet"
        )
        self.assertEqual(Ticket.fromText(before), Ticket((blue,), A, 2**40, bytes(32)))
        self.assertEqual(str(Ticket((blue,), A, 2**40, bytes(32))), before)

    def test_readByOthers(self) -> None:
        """
        Who does not know of several outlets reads a ticket for the first.
        """
        data = cbor.decode(SEVERAL.encode())
        self.assertEqual(set(data), {0, 1, 3, 4, 5, 6, 7})
        del data[7]
        self.assertEqual(Ticket.decode(cbor.encode(data)), evolve(SEVERAL, others=()))

    def test_damagedOutlets(self) -> None:
        """
        Each of the others is as complete as the first has to be, and there
        is somebody whose word counts for all of them.
        """
        for others in (
            (PinnedOutlet((), B),),
            (PinnedOutlet((WAY,), None),),
            (PinnedOutlet((WAY,), B, "db"),),
            (PinnedOutlet((WAY,), None, "(no"),),
            (PinnedOutlet((AT, MultiAddr.fromText("/ip4/192.0.2.1/tcp/1/service/outlet")), B),),
            (PinnedOutlet((WAY,), B),) * MAX_OUTLETS,
            (PinnedOutlet((AT,) * (MAX_WAYS + 1), B),),
        ):
            self.assertRaises(InvalidTicket, Ticket.fromText, str(evolve(SEVERAL, others=others)))
        alone = evolve(SEVERAL, authority=None, authorityWays=())
        self.assertRaises(InvalidTicket, Ticket.fromText, str(alone))
        self.assertRaises(InvalidTicket, Ticket.fromText, str(evolve(SEVERAL, peer=None, ways=())))
        many = evolve(SEVERAL, others=(PinnedOutlet((AT,), B),) * (MAX_OUTLETS - 1))
        self.assertEqual(Ticket.fromText(str(many)), many)

    def test_bounds(self) -> None:
        """
        A text that is too long is not decoded at all.
        """
        long = str(evolve(SEVERAL, others=(PinnedOutlet((WAY,) * MAX_WAYS, B),) * 15))
        self.assertGreater(len(long), MAX_TEXT)
        self.assertIn("too long", str(self.assertRaises(InvalidTicket, Ticket.fromText, long)))

    @given(st.binary(max_size=80))
    def test_garbageOutlets(self, data: bytes) -> None:
        """
        Whatever stands there raises our own errors only.
        """
        fields = cbor.encode({key: value for key, value in cbor.decode(SEVERAL.encode()).items() if key != 7})
        whole = bytes([fields[0] + 1]) + fields[1:] + b"\x07" + data
        try:
            Ticket.decode(whole)
        except (RemoteProtocolError, LocalProtocolError):
            pass

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
