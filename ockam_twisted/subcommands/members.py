"""
C{ockam-twisted ticket}, C{member} and C{unpair}: who gets in, and who is in.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.python import usage

from ockam_twisted.subcommands.base import Group, StateOptions


class _Granting(StateOptions):
    """
    What somebody is granted.
    """

    optParameters = [
        ["relay-name", None, "", "The relay name that its holder may have, or * for any (ockam-relay)"],
        ["outlet", None, "", "The holder is an outlet, of this name (ockam-outlet)"],
    ]
    optFlags = [["enroller", None, "The holder may manage members itself (ockam-role)"]]

    def __init__(self) -> None:
        super().__init__()
        self["attribute"] = {}

    def opt_attribute(self, pair: str) -> None:
        """
        NAME=VALUE that the holder will have; repeatable
        """
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise usage.UsageError(f"--attribute is NAME=VALUE, not {pair[:80]!r}")
        self["attribute"] = {**self["attribute"], name: value}

    def granted(self) -> dict[str, Any]:
        """
        As the task takes it.
        """
        return {
            "attributes": self["attribute"],
            "enroller": bool(self["enroller"]),
            "relay": self["relay-name"],
            "outlet": self["outlet"],
        }


class TicketCreate(_Granting):
    """
    C{ockam-twisted ticket create}
    """

    synopsis = "Usage: ockam-twisted ticket create [options]"
    longdesc = "Makes a ticket, with which somebody becomes a member of a node. The node may be running or not."
    examples = """\
  One more inlet for the outlet on this machine:
    ockam-twisted ticket create
  Ten inlets, within a day, that a policy can tell by an attribute:
    ockam-twisted ticket create --uses 10 --expires 24h --attribute team=web
  A ticket of an authority that also says where the outlet is and who:
    ockam-twisted ticket create --command ockam-authority --attribute dba=true \\
      --to /dnsaddr/relay.example.com/tcp/4000/service/forward_to_db/secure/api/service/outlet \\
      --peer-policy '(= subject.ockam-outlet "db")'
  The same for two outlets of one service, each with its identity:
    ockam-twisted ticket create --command ockam-authority --attribute dba=true \\
      --to I3f...@/dnsaddr/relay.example.com/tcp/4000/service/forward_to_I3f.../secure/api/service/outlet \\
      --to I77...@/dnsaddr/relay.example.com/tcp/4000/service/forward_to_I77.../secure/api/service/outlet
"""
    optParameters = [
        ["uses", None, "1", "How many may use it"],
        ["expires", None, "10m", "How long it is good for: seconds, or 10m, 12h, 7d"],
        ["peer", None, "", "Of an authority: the identifier of that outlet"],
        ["peer-policy", None, "", "Of an authority: what that outlet must be, a policy over attributes"],
    ]
    optFlags = [["json", None, "Print JSON"]]

    def __init__(self) -> None:
        super().__init__()
        self["to"] = ()

    def opt_to(self, way: str) -> None:
        """
        Of an authority: MULTIADDR of the outlet that the ticket is for, or IDENTIFIER@MULTIADDR; repeatable
        """
        self["to"] = (*self["to"], way)

    def postOptions(self) -> None:
        """
        Check the form of the options.
        """
        from ockam_twisted.config import duration
        from ockam_twisted.errors import ConfigurationError

        super().postOptions()
        if not (self["uses"].isascii() and self["uses"].isdigit()):
            raise usage.UsageError(f"--uses is a number, not {self['uses'][:40]!r}")
        try:
            self._seconds = duration(self["expires"], "--expires")
        except ConfigurationError as error:
            raise usage.UsageError(str(error)) from None

    def run(self) -> int:
        """
        Make it.
        """
        from ockam_twisted.tasks import asJSON, when

        made = self.node().ask(
            "ticket create",
            uses=int(self["uses"]),
            expires=self._seconds,
            to=self["to"],
            peer=self["peer"],
            policy=self["peer-policy"],
            **self.granted(),
        )
        if self["json"]:
            asJSON(made)
        else:
            print(f"Ticket: {made['ticket']}", flush=True)
            print(f"Good for {made['uses']} until {when(made['expires'])}; its id is {made['id']}.", file=sys.stderr)
        return 0


class TicketList(StateOptions):
    """
    C{ockam-twisted ticket list}
    """

    synopsis = "Usage: ockam-twisted ticket list [options]"
    longdesc = "Lists the tickets of a node, and who has used them. Their codes are not kept, and cannot be shown."
    examples = "  ockam-twisted ticket list\n"
    optFlags = [["json", None, "Print JSON"]]

    def run(self) -> int:
        """
        List them.
        """
        from ockam_twisted.tasks import asJSON, printTickets

        tickets = self.node().ask("ticket list")
        (asJSON if self["json"] else printTickets)(tickets)
        return 0


class TicketRevoke(StateOptions):
    """
    C{ockam-twisted ticket revoke}
    """

    argument = "id"
    asks = "which ticket, by its id in `ockam-twisted ticket list`"
    synopsis = "Usage: ockam-twisted ticket revoke ID [options]"
    longdesc = "Takes a ticket back. Who has used it stays a member: see `ockam-twisted member remove`."
    examples = "  ockam-twisted ticket revoke 3f9a0c11d2e4\n"

    def run(self) -> int:
        """
        Revoke it.
        """
        print(f"Revoked: {self.node().ask('ticket revoke', id=self['id'])['id']}", flush=True)
        return 0


class Ticket(Group):
    """
    C{ockam-twisted ticket}
    """

    synopsis = "Usage: ockam-twisted ticket <task> [options]"
    longdesc = "Tickets: each lets somebody become a member of a node, and tells it who the node is and where."
    examples = "  ockam-twisted ticket create\n"
    subCommands = [
        ["create", None, TicketCreate, "Make a ticket"],
        ["list", None, TicketList, "List the tickets, and who has used them"],
        ["revoke", None, TicketRevoke, "Take a ticket back"],
    ]


# ---------------------------------------------------------------- members --


class MemberList(StateOptions):
    """
    C{ockam-twisted member list}
    """

    synopsis = "Usage: ockam-twisted member list [options]"
    longdesc = "Lists who may use a node, and what each has."
    examples = "  ockam-twisted member list\n"
    optFlags = [["json", None, "Print JSON"]]

    def run(self) -> int:
        """
        List them.
        """
        from ockam_twisted.tasks import asJSON, printMembers

        members = self.node().ask("member list")
        (asJSON if self["json"] else printMembers)(members)
        return 0


class MemberAdd(_Granting):
    """
    C{ockam-twisted member add}
    """

    argument = "identifier"
    asks = "whom"
    synopsis = "Usage: ockam-twisted member add IDENTIFIER [options]"
    longdesc = "Makes somebody a member without a ticket, or gives a member other attributes, at once."
    examples = "  ockam-twisted member add I3f... --attribute team=web\n"

    def run(self) -> int:
        """
        Add it.
        """
        done = self.node().ask("member add", identifier=self["identifier"], **self.granted())
        print(f"Member: {done['identifier']}", flush=True)
        return 0


class MemberRemove(StateOptions):
    """
    C{ockam-twisted member remove}
    """

    argument = "identifier"
    asks = "whom, as `ockam-twisted member list` shows it"
    synopsis = "Usage: ockam-twisted member remove IDENTIFIER [options]"
    longdesc = (
        "Puts somebody out. At this node that ends all it has within a second; where others go by the word of this "
        "node, when its credential expires."
    )
    examples = "  ockam-twisted member remove I3f...\n"

    def run(self) -> int:
        """
        Remove it.
        """
        print(f"Removed: {self.node().ask('member remove', identifier=self['identifier'])['identifier']}", flush=True)
        return 0


class Member(Group):
    """
    C{ockam-twisted member}
    """

    synopsis = "Usage: ockam-twisted member <task> [options]"
    longdesc = "Members: who may use a node."
    examples = "  ockam-twisted member list\n"
    subCommands = [
        ["list", None, MemberList, "List them"],
        ["add", None, MemberAdd, "Add one, or change its attributes"],
        ["remove", None, MemberRemove, "Put one out, at once"],
    ]


class Unpair(StateOptions):
    """
    C{ockam-twisted unpair}
    """

    defaultCommand = "ockam-inlet"
    synopsis = "Usage: ockam-twisted unpair [options]"
    longdesc = "Forgets which outlet a stopped inlet is paired with, so that it takes the ticket of another one."
    examples = """\
  ockam-twisted unpair
  Of the inlet called mail of a node from a file:
    ockam-twisted unpair --command ockam-node --inlet mail
"""
    optParameters = [["inlet", None, None, "The name of one of the inlets of an ockam-node"]]

    def run(self) -> int:
        """
        Forget it.
        """
        from ockam_twisted.tasks import unpair

        done = unpair(self.node(), self["inlet"] or "")
        print("The pairing is forgotten." if done else "It was not paired.", flush=True)
        return 0
