"""
Tests for L{ockam_twisted.transports.strings}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.transports.strings import arguments, port, unbracketed


class StringTests(SynchronousTestCase):
    """
    Tests for the arguments of endpoint strings.
    """

    def test_arguments(self) -> None:
        """
        Arguments are in order, or have names, and a backslash hides a colon.
        """
        self.assertEqual(arguments("a:1:path=/x", 2, ("path",)), (["a", "1"], {"path": "/x"}))
        self.assertEqual(arguments(r"\:\:1:1", 2), (["::1", "1"], {}))
        self.assertEqual(arguments(r"a:path=b\:c=d", 1, ("path",)), (["a"], {"path": "b:c=d"}))

    def test_refused(self) -> None:
        """
        Too few, too many, empty ones and unknown names are refused by name.
        """
        for text, word in (("a", "2 parts"), ("a:b:c", "not 3"), ("a:", "empty"), ("a:b:nme=1", "no nme=")):
            self.assertIn(word, str(self.assertRaises(ValueError, arguments, text, 2, ("name",))))

    def test_port(self) -> None:
        """
        A port is a number, and 0 where that makes sense.
        """
        self.assertEqual((port("0"), port("65535", 1)), (0, 65535))
        for text, least in (("0", 1), ("65536", 0), ("x", 0), ("-1", 0), ("", 0), ("\u0663", 0)):
            self.assertRaises(ValueError, port, text, least)

    def test_brackets(self) -> None:
        """
        An address of IPv6 may be in brackets.
        """
        self.assertEqual([unbracketed(each) for each in ("[::1]", "::1", "a", "[a]")], ["::1", "::1", "a", "[a]"])
