"""
Tests for L{ockam_twisted.routing.addresses}.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import InvalidAddress
from ockam_twisted.routing.addresses import EMPTY, TCP, Address, Route, printable


class PrintableTests(SynchronousTestCase):
    """
    Tests for L{printable}.
    """

    @settings(deadline=None, max_examples=150, derandomize=True)
    @given(st.one_of(st.text(max_size=500), st.binary(max_size=500)), st.integers(3, 250))
    def test_harmless(self, text: str | bytes, limit: int) -> None:
        """
        Whatever comes from outside becomes one line of ASCII within the
        limit.
        """
        shown = printable(text, limit)
        self.assertLessEqual(len(shown), limit)
        self.assertTrue(all(" " <= c <= "~" for c in shown))

    def test_text(self) -> None:
        """
        Harmless text stays, the rest is escaped, what is long is cut.
        """
        self.assertEqual(printable("a b"), "a b")
        self.assertEqual(printable("\n\x1b[0m"), "\\n\\x1b[0m")
        self.assertEqual(printable(b"\xff\n"), "\\xff\\n")
        self.assertEqual(printable("x" * 201), "x" * 197 + "...")
        self.assertEqual(printable("x" * 200), "x" * 200)


class AddressTests(SynchronousTestCase):
    """
    Tests for L{Address}.
    """

    def test_text(self) -> None:
        """
        Without a type an address is local; printing always names the type.
        """
        self.assertEqual(Address.fromText("echo"), Address(0, b"echo"))
        self.assertEqual(Address.fromText("0#echo"), Address.local("echo"))
        self.assertEqual(Address.fromText("1#127.0.0.1:4000"), Address(TCP, b"127.0.0.1:4000"))
        self.assertEqual(str(Address.local("echo")), "0#echo")
        self.assertTrue(Address.local(b"echo").isLocal)
        self.assertFalse(Address(TCP, b"echo").isLocal)

    def test_badText(self) -> None:
        """
        Several marks, types that are no decimal u8 and long values are
        refused.
        """
        for text in ("0#a#b", "256#a", "0001#a", "-1#a", "x#a", "#a", "\u0661#a", " 1#a", "1#" + "a" * 256, "a" * 256):
            self.assertRaises(InvalidAddress, Address.fromText, text)
        self.assertEqual(len(Address.fromText("a" * 255).value), 255)
        self.assertRaises(InvalidAddress, Address.local, "\u20ac" * 86)

    def test_random(self) -> None:
        """
        A random address is 32 lowercase hexadecimal digits, never twice the
        same.
        """
        some = {Address.random() for _ in range(50)}
        self.assertEqual(len(some), 50)
        for each in some:
            self.assertRegex(each.value.decode(), "^[0-9a-f]{32}$")
            self.assertTrue(each.isLocal)

    def test_printsNoControls(self) -> None:
        """
        The bytes of an address cannot forge a log line.
        """
        self.assertEqual(str(Address(0, b"a\nb")), "0#a\\nb")


class RouteTests(SynchronousTestCase):
    """
    Tests for L{Route}.
    """

    def test_of(self) -> None:
        """
        Routes are built from addresses, text and bytes.
        """
        self.assertEqual(
            Route.of(Address.local("a"), "1#b:1", b"c#d"), (Address(0, b"a"), Address(1, b"b:1"), Address(0, b"c#d"))
        )

    def test_text(self) -> None:
        """
        The text form goes both ways, with or without spaces.
        """
        route = Route.fromText("a=> 1#b:1  =>c")
        self.assertEqual(str(route), "0#a => 1#b:1 => 0#c")
        self.assertEqual(Route.fromText(str(route)), route)
        for text in ("", "a=>", "=>a", "a=>=>b", "a => b#c#d"):
            self.assertRaises(InvalidAddress, Route.fromText, text)

    def test_steps(self) -> None:
        """
        Steps and additions give routes and leave the original alone.
        """
        route = Route.of("a", "b")
        self.assertEqual(route.step(), Route.of("b"))
        self.assertEqual(route.prepend(Address.local("x"), Address.local("y")), Route.of("x", "y", "a", "b"))
        self.assertEqual(route.append(Address.local("x")), Route.of("a", "b", "x"))
        self.assertEqual(EMPTY.step(), EMPTY)
        self.assertEqual(route, Route.of("a", "b"))
        for each in (route.step(), route.prepend(), route.append()):
            self.assertIs(type(each), Route)

    def test_fromWire(self) -> None:
        """
        What was decoded becomes addresses.
        """
        route = Route.fromWire(((0, b"a"), (1, b"b")))
        self.assertIsInstance(route[0], Address)
        self.assertEqual(route, Route.of("a", "1#b"))
        self.assertEqual(route[0].value, b"a")
        self.assertEqual(hash(route), hash(Route.of("a", "1#b")))
