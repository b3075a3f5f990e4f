"""
C{ockam-twisted reload}: have a running node read its file again.
"""

from __future__ import annotations

from ockam_twisted.subcommands.base import StateOptions


class Reload(StateOptions):
    """
    C{ockam-twisted reload}
    """

    defaultCommand = "ockam-node"
    synopsis = "Usage: ockam-twisted reload [options]"
    longdesc = (
        "Has a running ockam-node read its file again and become what it says. What is the same keeps its connections "
        "and streams, what is not there any more has the drain timeout to come to its end, and a file with an error "
        "changes nothing: the exit status is 1 then, and the errors are shown. SIGHUP does the same; the log has the "
        "result."
    )
    examples = """\
  After a change of the file:
    ockam-twisted config check node.yaml && ockam-twisted reload
  Of one of several nodes on this machine:
    ockam-twisted reload --instance blue
"""
    optFlags = [["json", None, "Print JSON"]]

    def run(self) -> int:
        """
        Do it.
        """
        from ockam_twisted.tasks import asJSON, reloadNode

        result = reloadNode(self["state-dir"] or "", self["command"], self["instance"])
        if self["json"]:
            asJSON(result)
            return 0
        for what, names in result.items():
            for name in names:
                print(f"{what}: {name}")
        return 0
