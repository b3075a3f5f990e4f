"""
Tests of L{ockam_twisted.config}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.config import dialEndpoint, listenEndpoint
from ockam_twisted.errors import ConfigurationError


class ShorthandTests(SynchronousTestCase):
    """
    Places as operators write them.
    """

    def test_listen(self) -> None:
        """
        A bare port is on loopback unless everywhere is meant.
        """
        for text, meant in (
            ("4000", "tcp:4000:interface=127.0.0.1"),
            ("0.0.0.0:4000", "tcp:4000:interface=0.0.0.0"),
            ("[::1]:4000", "tcp6:4000:interface=\\:\\:1"),
            ("tcp:4000", "tcp:4000"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
        ):
            self.assertEqual(listenEndpoint(text, "--listen"), meant)
        self.assertEqual(listenEndpoint("4000", "--listen", everywhere=True), "tcp:4000")

    def test_dial(self) -> None:
        """
        A host and a port, or an endpoint string.
        """
        for text, meant in (
            ("4000", "tcp:host=127.0.0.1:port=4000"),
            ("relay.example:4000", "tcp:host=relay.example:port=4000"),
            ("[::1]:4000", "tcp:host=\\:\\:1:port=4000"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
        ):
            self.assertEqual(dialEndpoint(text, "--relay"), meant)

    def test_refused(self) -> None:
        """
        Anything else is an error that names the option and the right forms.
        """
        for text in ("", "host", "host:", ":1", "host:99999", "::1:4000", "a b:1", "host:1:2", "99999"):
            error = self.assertRaises(ConfigurationError, dialEndpoint, text, "--relay")
            self.assertIn("--relay", str(error))
            self.assertIn("HOST:PORT", str(error))
            self.assertRaises(ConfigurationError, listenEndpoint, text, "--listen")
        self.assertRaises(ConfigurationError, dialEndpoint, "host:0", "--relay")
