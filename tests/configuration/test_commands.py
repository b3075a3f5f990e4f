"""
Tests of L{ockam_twisted.configuration.commands}: what the commands have as
options, the file has, and the reverse.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from attrs import evolve

from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.config import NodeConfig
from ockam_twisted.configuration.commands import COMMANDS, Offer
from ockam_twisted.configuration.declared import paths
from ockam_twisted.configuration.settings import NodeSettings
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.routing.multiaddr import MultiAddr
from tests.configuration.bad import WHO
from tests.configuration.test_load import LoadTestCase
from tests.tap.common import OTHER, TICKET

#: What a file has and no command, with why.
FILE_ONLY = {
    "authorities.name": "a command has one authority",
    "authorities.identifier": "--authority is both: IDENTIFIER@MULTIADDR",
    "outlets.authorized": "a command has one outlet: what the node accepts is what the outlet does",
    "outlets.allow": "the same",
    "outlets.trust-everyone": "the same",
    "outlets.authority": "a command has one authority",
    "inlets.name": "a command has one inlet",
    "inlets.authority": "a command has one authority",
}

#: A value for each option for which the example of its form will not do.
VALUES = {
    "http": "8080",
    "log-level": "warn,portals=debug",
    "log-format": "json",
    "audit-log": "audit.log",
    "state-dir": "/var/lib/x",
    "instance": "blue",
    "passphrase": "/run/p",
    "vault": "pkcs11:token=T?module-path=/lib/x.so&pin-source=/run/pin",
    "max-frame": "200000",
    "listen": "tcp:4001",
    "authorized": WHO,
    "allow": "dba or admin",
    "allow-echo": "admin",
    "processes": "2",
    "authority": f"{OTHER}@/ip4/192.0.2.1/tcp/4100/secure/api",
    "drain-timeout": "7",
    "resume-timeout": "8",
    "connect-timeout": "9",
    "ticket-uses": "3",
    "ticket-expires": "12h",
    "credential-lifetime": "5m",
    "reached-at": "relay.example.com:4000",
    "target": "127.0.0.1:5432",
    "relay": "relay.example.com:4000",
    "name": "db",
    "address": "here",
    "to": "/ip4/192.0.2.1/tcp/4000/secure/api/service/outlet",
    "enroller": WHO,
}

#: What a command needs, and what a file has for it.
NEEDED: dict[str, tuple[dict[str, str], str]] = {
    "ockam-relay": ({"listen": "tcp:4000"}, "relay: {}\n"),
    "ockam-outlet": ({"target": "127.0.0.1:1", "relay": "127.0.0.1:2"}, ""),
    "ockam-inlet": ({"listen": "tcp:1:interface=127.0.0.1", "to": VALUES["to"], "authorized": OTHER}, ""),
    "ockam-authority": ({"listen": "tcp:4100"}, "authority-service: {}\n"),
}

#: What excludes something else that is needed, or needs something more.
APART: dict[tuple[str, str], tuple[set[str], dict[str, str]]] = {
    ("ockam-relay", "allow"): (set(), {"tickets": ""}),
    ("ockam-outlet", "name"): (set(), {}),
    ("ockam-outlet", "relay-ticket"): ({"relay"}, {}),
    ("ockam-inlet", "allow"): ({"authorized"}, {"authority": VALUES["authority"]}),
    ("ockam-inlet", "trust-everyone"): ({"authorized"}, {}),
    ("ockam-inlet", "ticket"): ({"authorized", "to"}, {}),
}


class CommandsTests(LoadTestCase):
    """
    Each option beside its key.
    """

    def test_everyOptionIsAKey(self) -> None:
        """
        What an option sets is a setting of the file.
        """
        known = {path for path, _ in paths(NodeSettings)}
        for command, offers in COMMANDS.items():
            self.assertEqual({each.path for each in offers} - known, set(), command)

    def test_everyKeyIsAnOption(self) -> None:
        """
        What a file may have is an option of some command, but for what has no
        meaning there.
        """
        offered = {each.path for offers in COMMANDS.values() for each in offers}
        missing = {path for path, _ in paths(NodeSettings)} - offered
        self.assertEqual(missing, set(FILE_ONLY))

    def parse(self, command: str, options: dict[str, str]) -> NodeConfig:
        """
        What a command makes of options.
        """
        module: Any = importlib.import_module(f"ockam_twisted.tap.{command.removeprefix('ockam-')}")
        made = module.Options()
        arguments = []
        for name, value in options.items():
            arguments += [f"--{name}", value] if value else [f"--{name}"]
        made.parseOptions(arguments)
        config: NodeConfig = made.nodeConfig
        return config

    def file(self, command: str, options: dict[str, str]) -> str:
        """
        A file that says the same.
        """
        top: dict[str, Any] = {}
        offers = {each.option: each for each in COMMANDS[command]}
        for name, value in options.items():
            offer = offers[name]
            *groups, key = offer.path.split(".")
            at = top
            if name == "authority":
                identifier, _, address = value.partition("@")
                top["authorities"] = [{"identifier": identifier, "address": address}]
                continue
            for each in groups:
                isList = each in ("outlets", "inlets", "registrations")
                at = at.setdefault(each, [{}] if isList else {})
                at = at[0] if isinstance(at, list) else at
            if name in ("ticket", "relay-ticket", "passphrase"):
                value = f"file:{value.removeprefix('@')}"
            at[key] = (name != "no-ticket") if offer.isFlag else value
        return _yaml(top)

    def test_sameMeaning(self) -> None:
        """
        An option and its key, one after the other, make the same node.
        """
        ofOutlet, ofAuthority, ofRelay = (Path(self.mktemp()) for _ in range(3))
        ofOutlet.write_text(TICKET)
        way = MultiAddr.fromText("/ip4/192.0.2.1/tcp/4100/secure/api")
        who = Identifier(OTHER)
        ofAuthority.write_text(str(Ticket((), None, 2**40, bytes(32), authority=who, authorityWays=(way,))))
        ofRelay.write_text(str(Ticket((way,), who, 2**40, bytes(32))))
        tickets = {"relay-ticket": ofRelay}
        members = Path(self.mktemp())
        members.write_text(f'{{"{WHO}": {{"team": "web"}}}}')
        values = VALUES | {"members": str(members)}
        tried = 0
        for command, offers in COMMANDS.items():
            needed, more = NEEDED[command]
            tickets["ticket"] = ofOutlet if command == "ockam-inlet" else ofAuthority
            for offer in offers:
                without, beside = APART.get((command, offer.option), (set(), {}))
                options = {name: value for name, value in needed.items() if name not in without} | beside
                value = "" if offer.isFlag else values.get(offer.option) or _example(offer, tickets)
                self.assertTrue(value or offer.isFlag, f"no value for --{offer.option}")
                options[offer.option] = value
                text = self.file(command, options)
                if not any(line.startswith(more.partition(":")[0]) for line in text.splitlines()):
                    text += more
                made = self.check(text)
                expected = self.parse(command, options)
                if command == "ockam-authority":
                    # It has no streams, and everybody may prove who they are.
                    expected = evolve(expected, drainTimeout=made.drainTimeout, trust=made.trust)
                self.assertEqual(evolve(made, command=command), expected, f"{command} --{offer.option}\n{text}")
                tried += 1
        self.assertGreater(tried, 50)


def _example(offer: Offer, tickets: dict[str, Path]) -> str:
    """
    A ticket, or what the form says.
    """
    form = offer.declared.setting.form
    assert form is not None
    return f"@{tickets[offer.option]}" if offer.option in tickets else form.example


def _yaml(values: dict[str, Any]) -> str:
    # JSON is YAML, too.
    return "".join(f"{json.dumps(key)[1:-1]}: {json.dumps(value)}\n" for key, value in values.items())
