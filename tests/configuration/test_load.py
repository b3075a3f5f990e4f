"""
Tests of L{ockam_twisted.configuration.load}: from a file to settings, or to
all that is wrong with it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.config import NodeConfig, TrustConfig
from ockam_twisted.configuration.load import Refused, check, load
from ockam_twisted.configuration.settings import NodeSettings
from tests.configuration.bad import BAD, WHO
from tests.memory_reactor import MemoryReactor


class LoadTestCase(SynchronousTestCase):
    """
    Tests with a file.
    """

    def setUp(self) -> None:
        """
        Where the file is.
        """
        self.path = Path(self.mktemp())
        environ = {name: value for name, value in os.environ.items() if name != "CREDENTIALS_DIRECTORY"}
        self.patch(os, "environ", environ)

    def write(self, text: str) -> str:
        """
        Write it.

        @return: Its path.
        """
        self.path.write_text(text)
        return str(self.path)

    def check(self, text: str) -> NodeConfig:
        """
        What a node is made from.
        """
        reactor: Any = MemoryReactor()
        return check(self.write(text), reactor)

    def wrong(self, text: str) -> list[str]:
        """
        What is said of it, without the name of the file.
        """
        lines = self.assertRaises(Refused, self.check, text).lines
        for each in lines:
            self.assertTrue(each.startswith(f"{self.path}:"), each)
            self.assertTrue(each.isprintable(), each)
        return [each.removeprefix(f"{self.path}:") for each in lines]


class BadFileTests(LoadTestCase):
    """
    A test for each row of L{tests.configuration.bad}, made below.
    """


def _row(text: str, said: tuple[str, ...]) -> Any:
    def test(self: BadFileTests) -> None:
        """
        What is said of this file is this, and nothing else.
        """
        self.assertEqual(self.wrong(text), [each.removeprefix(":") for each in said])

    return test


for _name, _text, _said in BAD:
    _test = _row(_text, _said)
    _test.__name__ = f"test_{_name.replace(' ', '_').replace(',', '')}"
    setattr(BadFileTests, _test.__name__, _test)


class TableTests(SynchronousTestCase):
    """
    The table itself.
    """

    def test_size(self) -> None:
        """
        It is long, no name stands for two rows, and no row says nothing.
        """
        self.assertGreaterEqual(len(BAD), 60)
        self.assertEqual(len({name for name, _, _ in BAD}), len(BAD))
        self.assertEqual([name for name, _, said in BAD if not said], [])
        made = [name for name in vars(BadFileTests) if name.startswith("test_")]
        self.assertEqual(len(made), len(BAD))


class LoadTests(LoadTestCase):
    """
    Files that are right.
    """

    def test_settings(self) -> None:
        """
        What is not in a file is by default; one is as good as a list of one;
        numbers may be text.
        """
        settings = load(self.write(f"listen: 4000\nauthorized: {WHO}\ndrain-timeout: '7'\nrelay:\n"))
        self.assertEqual((settings.listen, settings.authorized, settings.drainTimeout), (("4000",), (WHO,), 7.0))
        self.assertEqual(settings.resumeTimeout, NodeSettings().resumeTimeout)
        assert settings.relay is not None
        self.assertEqual(settings.relay.processes, 1)
        self.assertIsNone(settings.authorityService)

    def test_everything(self) -> None:
        """
        Each part comes into the configuration, in its order.
        """
        config = self.check(
            f"""\
state: {{folder: /var/lib/node, instance: main}}
listen: [4000, "tcp:4001"]
registrations:
  - relay: relay.example.com:4000
    name: one
  - relay: /ip4/192.0.2.1/tcp/4000
outlets:
  - target: 5432
    address: db
    authorized: {WHO}
  - target: unix:/run/web.sock
    address: web
    trust-everyone: true
inlets:
  - name: mail
    listen: 2525
    to: {WHO}@/ip4/192.0.2.1/tcp/4000/secure/api/service/outlet
    connect-timeout: 3
max-frame: 200000
"""
        )
        self.assertEqual(
            (config.command, config.state.folder, config.state.instance), ("ockam-node", "/var/lib/node", "main")
        )
        self.assertEqual(config.listeners, ("tcp:4000:interface=127.0.0.1", "tcp:4001"))
        self.assertEqual(
            [(each.relay, each.name) for each in config.registrations],
            [("tcp:host=relay.example.com:port=4000", "one"), ("/ip4/192.0.2.1/tcp/4000", "")],
        )
        self.assertEqual(
            [(each.target, each.address, each.trust) for each in config.outlets],
            [
                ("tcp:host=127.0.0.1:port=5432", "db", TrustConfig((WHO,))),
                ("unix:/run/web.sock", "web", TrustConfig(everyone=True)),
            ],
        )
        [inlet] = config.inlets
        self.assertEqual(
            (inlet.name, inlet.listen, inlet.connectTimeout), ("mail", "tcp:2525:interface=127.0.0.1", 3.0)
        )
        self.assertEqual(config.maxFrame, 200000)

    def test_unreadable(self) -> None:
        """
        A file that is not there, is a folder, or is no text, is said to be
        so.
        """
        reactor: Any = MemoryReactor()
        for path, says in (("/nowhere/f", "No such file"), ("/", "Is a directory")):
            [line] = self.assertRaises(Refused, check, path, reactor).lines
            self.assertIn(says, line)
        self.path.write_bytes(b"hop: \xff\xfe")
        [line] = self.assertRaises(Refused, check, str(self.path), reactor).lines
        self.assertIn("no text in UTF-8", line)
