"""
C{twist ockam-authority}: attests who is a member, for many nodes.
"""

from __future__ import annotations

import json

from twisted.python import usage

from ockam_twisted.config import AuthorityServiceConfig, NodeConfig, TrustConfig, duration, listenEndpoint
from ockam_twisted.tap.options import NodeOptions, makeNodeService

_MAX_FILE = 16 * 1024 * 1024


class Options(NodeOptions):
    """
    See the module.
    """

    command = "ockam-authority"
    synopsis = "[options]"
    longdesc = (
        "Keeps a list of members with attributes, and attests to each what it has, for as long as it is a member. "
        "Outlets, inlets and relays that are started with --authority go by its word. Tickets make members."
    )
    examples = """\
  It prints what goes behind --authority:
    twist ockam-authority --reached-at authority.example.com:4100
  A ticket that makes a database administrator:
    ockam-twisted ticket create --command ockam-authority --attribute dba=true
  A ticket that makes an outlet which inlets with --allow '(= subject.ockam-outlet "db")' accept:
    ockam-twisted ticket create --command ockam-authority --outlet db
"""
    optParameters = [
        ["members", None, None, 'JSON file of members: {"I3f...": {"name": "value"}}'],
        ["credential-lifetime", None, "10m", "How long a credential is good for, and a removed member with it"],
    ]

    def __init__(self) -> None:
        super().__init__()
        self["ticket-uses"], self["ticket-expires"] = "1", "10m"

    def opt_listen(self, endpoint: str) -> None:
        """
        Where to listen: PORT (all interfaces), HOST:PORT or an endpoint string; repeatable [default: tcp:4100]
        """
        self._add("listen", endpoint)

    def opt_enroller(self, identifier: str) -> None:
        """
        Identifier of somebody who may manage members from elsewhere; repeatable
        """
        self._add("enroller", identifier)

    def config(self) -> NodeConfig:
        """
        See L{NodeOptions.config}.
        """
        enrollers = [(each, (("ockam-role", "enroller"),)) for each in self.get("enroller", ())]
        return NodeConfig(
            self.command,
            self.state(),
            listeners=tuple(
                listenEndpoint(text, "--listen", everywhere=True) for text in self["listen"] or ("tcp:4100",)
            ),
            # Anybody may prove who they are; members get something for it.
            trust=TrustConfig(everyone=True),
            authorityService=AuthorityServiceConfig((*enrollers, *self._members())),
            tickets=self.tickets(False),
            maxFrame=self.maxFrame(),
            credentialLifetime=duration(self["credential-lifetime"], "--credential-lifetime"),
        )

    def _members(self) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
        if not self["members"]:
            return []
        try:
            with open(self["members"], encoding="utf-8") as file:
                members = json.loads(file.read(_MAX_FILE))
            return [
                (identifier, tuple((str(name), str(value)) for name, value in attributes.items()))
                for identifier, attributes in members.items()
            ]
        except OSError as error:
            raise usage.UsageError(f"--members: cannot read {self['members']}: {error.strerror}") from None
        except (ValueError, AttributeError, RecursionError) as error:
            raise usage.UsageError(f"--members: {self['members']} is no JSON object of members: {error}") from None


makeService = makeNodeService
