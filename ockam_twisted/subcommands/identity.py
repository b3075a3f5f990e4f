"""
C{ockam-twisted identity}: who a node is.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ockam_twisted.subcommands.base import Group, StateOptions


class IdentityOptions(StateOptions):
    """
    Tasks about an identity are about the inlet's, unless something is said.
    """

    defaultCommand = "ockam-inlet"


class IdentityShow(IdentityOptions):
    """
    C{ockam-twisted identity show}
    """

    synopsis = "Usage: ockam-twisted identity show [options]"
    longdesc = (
        "Prints the identifier that a node has, for --authorized on the other side. "
        "Where the state folder has no identity yet, one is made. The node may be running."
    )
    examples = """\
  Of the inlet that `twist ockam-inlet` runs, also before it has ever run:
    ockam-twisted identity show
  Of an outlet that was started with --instance web:
    ockam-twisted identity show --command ockam-outlet --instance web
"""

    def run(self) -> int:
        """
        Print it.
        """
        from twisted.internet import reactor

        from ockam_twisted.offline import hasIdentity, showIdentity

        place = self.node().place
        isNew = not hasIdentity(place)
        print(f"Identifier: {showIdentity(reactor, place, self.keys())}", flush=True)
        if isNew and self.isDefault and not self["state-dir"]:
            print(f"made a new identity for {self['command']} (the default of --command)", file=sys.stderr)
        return 0


class IdentityExport(IdentityOptions):
    """
    C{ockam-twisted identity export}
    """

    synopsis = "Usage: ockam-twisted identity export [options]"
    longdesc = (
        "Prints the public change history of an identity, in hexadecimal: nothing in it is secret. Who imports it "
        "refuses older keys of this identity from then on. The node may be running."
    )
    examples = "  ockam-twisted identity export --command ockam-outlet > outlet.identity\n"

    def run(self) -> int:
        """
        Print it.
        """
        from ockam_twisted.tasks import exportHistory

        print(exportHistory(self.node().place), flush=True)
        return 0


class IdentityImport(IdentityOptions):
    """
    C{ockam-twisted identity import}
    """

    argument = "file"
    asks = "which file"
    synopsis = "Usage: ockam-twisted identity import FILE [options]"
    longdesc = "Keeps the public change history of somebody else's identity. The node must not be running."
    examples = "  ockam-twisted identity import outlet.identity\n"

    def run(self) -> int:
        """
        Keep it.
        """
        from ockam_twisted.errors import ConfigurationError
        from ockam_twisted.tasks import importHistory

        try:
            text = sys.stdin.read() if self["file"] == "-" else Path(self["file"]).read_text("ascii", "replace")
        except OSError as error:
            raise ConfigurationError(f"cannot read {self['file']}: {error.strerror}") from None
        print(f"Identifier: {importHistory(self.node(), text)}", flush=True)
        return 0


class IdentityRotate(IdentityOptions):
    """
    C{ockam-twisted identity rotate}
    """

    synopsis = "Usage: ockam-twisted identity rotate [options]"
    longdesc = (
        "Replaces the key of an identity by a new one; the identifier stays. Peers follow at the next handshake, and "
        "the old key is of no use to anybody from then on. A running node goes on, with all its streams."
    )
    examples = "  ockam-twisted identity rotate --command ockam-outlet\n"

    def run(self) -> int:
        """
        Do it.
        """
        done = self.node().ask("identity rotate")
        print(f"Identifier: {done['identifier']}\nKeys so far: {done['changes']}", flush=True)
        return 0


class IdentityBackup(IdentityOptions):
    """
    C{ockam-twisted identity backup}
    """

    argument = "file"
    asks = "into which file"
    synopsis = "Usage: ockam-twisted identity backup FILE [options]"
    longdesc = (
        "Copies the state of a node (identity, members, tickets, pairing) into a file that only you can read. It has "
        "the secret keys in it: whoever gets it is this node. The node may be running."
    )
    examples = "  ockam-twisted identity backup --command ockam-outlet outlet.backup\n"

    def run(self) -> int:
        """
        Copy it.
        """
        from ockam_twisted.tasks import backUp

        print(f"Backed up: {backUp(self.node().place, Path(self['file']))}", flush=True)
        return 0


class IdentityRestore(IdentityOptions):
    """
    C{ockam-twisted identity restore}
    """

    argument = "file"
    asks = "from which file"
    synopsis = "Usage: ockam-twisted identity restore FILE [options]"
    longdesc = (
        "Puts a backup into a state folder that is empty or not there. After a rotation an older backup is of no "
        "use: peers that have seen the newer key refuse it."
    )
    examples = "  ockam-twisted identity restore --command ockam-outlet outlet.backup\n"

    def run(self) -> int:
        """
        Copy it.
        """
        from ockam_twisted.tasks import restore

        print(f"Restored: {restore(self.node().place, Path(self['file']))}", flush=True)
        return 0


class Identity(Group):
    """
    C{ockam-twisted identity}
    """

    synopsis = "Usage: ockam-twisted identity <task> [options]"
    longdesc = "Who a node is: a name that nobody else can take, and that others authorize."
    examples = "  ockam-twisted identity show\n"
    subCommands = [
        ["show", None, IdentityShow, "Print the identifier; make the identity if there is none"],
        ["export", None, IdentityExport, "Print the public change history"],
        ["import", None, IdentityImport, "Keep the public change history of somebody else"],
        ["rotate", None, IdentityRotate, "Replace the key; the identifier stays"],
        ["backup", None, IdentityBackup, "Copy the state into a file"],
        ["restore", None, IdentityRestore, "Put a backup into an empty state folder"],
    ]
