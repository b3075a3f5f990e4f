"""
C{twist ockam-node}: everything that a file says, in one process.
"""

from __future__ import annotations

import os
from functools import partial

from twisted.python import usage

from ockam_twisted.errors import ConfigurationError
from ockam_twisted.tap.options import CommandOptions, checkProcesses, makeNodeService


class Options(CommandOptions):
    """
    See the module.
    """

    command = "ockam-node"
    stray = "config"
    synopsis = "--config FILE"
    longdesc = (
        "Runs what a file says: any number of outlets, inlets, listeners, registrations at relays, a relay, an "
        "authority, with one identity, in one process. SIGHUP and `ockam-twisted reload` apply a changed file: what "
        "did not change in it goes on undisturbed."
    )
    examples = """\
  Write a file with every key there is, change it, and look what is wrong with it:
    ockam-twisted config example > node.yaml
    ockam-twisted config check node.yaml
  Run it:
    twist ockam-node --config node.yaml
"""
    optParameters = [["config", "c", None, "The file, in YAML; `ockam-twisted config example` writes one"]]

    def inItsWords(self, text: str) -> str:
        """
        See L{CommandOptions.inItsWords}.
        """
        from ockam_twisted.configuration.load import asKeys

        # Inlets are what is paired, or not, at the start.
        return asKeys(text, "inlets")

    def postOptions(self) -> None:
        """
        Read the file.
        """
        from twisted.internet import reactor

        from ockam_twisted.configuration.load import Refused, check

        if not self["config"]:
            raise usage.UsageError("--config says which file; `ockam-twisted config example` writes one")
        # By then the process may be in another folder.
        self.reread = partial(check, os.path.abspath(self["config"]), reactor)
        try:
            self.nodeConfig = check(self["config"], reactor)
            checkProcesses(self.nodeConfig, self.parent)
        except Refused as error:
            # What is wrong is not how it was called: no help about that.
            raise SystemExit("\n".join(f"{self.command}: {line}" for line in error.lines)) from None
        except ConfigurationError as error:
            raise SystemExit(f"{self.command}: {self.inItsWords(str(error))}") from None
        self.chooseLog(reactor)


makeService = makeNodeService
