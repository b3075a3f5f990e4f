"""
C{ockam-twisted check}: which step of the way to an outlet fails, and whose
fault that is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ockam_twisted.subcommands.way import WayOptions, runUntilDone


def linesOf(finding: Any) -> Iterator[str]:
    """
    A step for people.

    @param finding: A L{Finding<ockam_twisted.visits.findings.Finding>}.
    """
    took = "" if finding.seconds is None else f" ({finding.seconds * 1000:.1f} ms)"
    state = "FAILED" if finding.state == "failed" else finding.state
    yield f"  {state:<8} {finding.step:<11}{finding.found}{took}"
    if finding.whose:
        yield f"           {'likely':<11}{finding.whose}"
        yield f"           {'to do':<11}{finding.advice}"


class Check(WayOptions):
    """
    C{ockam-twisted check}
    """

    synopsis = "Usage: ockam-twisted check [options]"
    longdesc = (
        "Goes the way that the bytes of an ockam-inlet go, and says of each step whether it is done: the options, the "
        "ticket, our credential, the name of the host, the connection, the version of the protocol, the name at the "
        "relay, the secure channel, who is there, whether they accept us, the outlet, its policy, and its target, "
        "which sees one connection that is closed at once. Of what fails it says whose fault that is likely to be, and "
        "what to do. It goes where the ockam-inlet of the same --instance is paired with, whether that runs or not, or "
        "where --ticket or --to says, and changes nothing. The exit status is 0 if nothing has failed, else 1."
    )
    examples = """\
  Of the inlet on this machine:
    ockam-twisted check
  Before the first start, without using up the ticket:
    ockam-twisted check --ticket @ticket.txt
  Of any outlet:
    ockam-twisted check --authorized I3f... --to \\
      /dnsaddr/relay.example.com/tcp/4000/service/forward_to_I3f.../secure/api/service/outlet
"""
    optFlags = [
        ["json", None, "Print JSON, at the end"],
        ["redeem", None, "Redeem the ticket, as an inlet would, and keep what it says"],
    ]

    def postOptions(self) -> None:
        """
        Check the form of the options.
        """
        self.readWay()

    def run(self) -> int:
        """
        Check it.
        """
        from ockam_twisted.visits import check
        from ockam_twisted.visits.findings import Finding
        from ockam_twisted.visits.visit import Visit

        said: list[check.Report] = []

        def tell(report: check.Report, finding: Finding) -> None:
            if self["json"]:
                return
            if report not in said:
                said.append(report)
                print(f"The way {report.way}:" if report.way else "Before the first step:")
            print(*linesOf(finding), sep="\n", flush=True)

        async def work(reactor: Any) -> int:
            visit = Visit(reactor, self.nodeConfig, redeems=bool(self["redeem"]), creates=bool(self["redeem"]))
            checking = check.Check(reactor, visit, tell)
            try:
                good = await checking.run()
            finally:
                await visit.close()
            if self["json"]:
                print(json.dumps({"ok": good, "checks": check.asJSON(checking.reports)}, indent=2))
            return 0 if good else 1

        return runUntilDone(work)
