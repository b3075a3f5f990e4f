"""
C{ockam-twisted connect}: standard input and output as one stream to an outlet.
"""

from __future__ import annotations

import sys
from typing import Any

from twisted.python import usage

from ockam_twisted.subcommands.way import WayOptions, runUntilDone


class Connect(WayOptions):
    """
    C{ockam-twisted connect}
    """

    synopsis = "Usage: ockam-twisted connect [options]"
    longdesc = (
        "Connects standard input and output, end-to-end encrypted, to a private TCP service beside an outlet: for ssh, "
        "rsync, git and pipes, which then need no port here. It goes where the ockam-inlet of the same --instance is "
        "paired with, whether that runs or not, or where --ticket or --to says. It ends when both sides have said all; "
        "from a terminal, when the far side has. The exit status is 0 if all has arrived, 64 for bad options, 77 if "
        "the outlet, its policy or its target has refused, 69 if nobody was there, 74 if the stream was lost before "
        "its end, and 1 if something is wrong here."
    )
    examples = """\
  A shell on a private machine whose outlet has --target 127.0.0.1:22:
    ssh -o ProxyCommand='ockam-twisted connect' user@machine
  The first time, with what the outlet has printed:
    ockam-twisted connect --ticket @ticket.txt
  A copy of a folder, into whatever reads it at the other end:
    tar -c folder | ockam-twisted connect --instance backup
  For one client of a port, in a script:
    ockam-twisted connect --listen 5432 & psql -h 127.0.0.1
"""
    optParameters = [
        ["listen", "l", None, "Connect the first client of PORT, HOST:PORT or an endpoint string, instead"],
        ["connect-timeout", None, "10", "Seconds that it is tried to open the stream"],
        ["resume-timeout", None, "60", "Seconds that the stream waits for a new way when its own is lost"],
    ]
    optFlags = [
        ["once", None, "With --listen: the same as without it, since one client is all there is"],
        ["verbose", "v", "Show the log, on standard error"],
    ]

    def postOptions(self) -> None:
        """
        Check everything that the options alone can tell.
        """
        if self["ticket"] == "-" and not self["listen"]:
            raise usage.UsageError("--ticket -: standard input is what is connected; use @FILE")
        self.readWay()

    def run(self) -> int:
        """
        Connect it.

        @return: See the help.
        @raise OckamError: Something is wrong here.
        """
        from twisted.internet.error import CannotListenError

        from ockam_twisted.errors import ConfigurationError
        from ockam_twisted.places import serverEndpoint
        from ockam_twisted.visits.connection import connectOne, connectStandard
        from ockam_twisted.visits.standard import StandardStreams
        from ockam_twisted.visits.visit import Visit

        def say(text: str) -> None:
            print(f"ockam-twisted: {text}", file=sys.stderr, flush=True)

        async def work(reactor: Any) -> int:
            visit = Visit(reactor, self.nodeConfig, redeems=True, creates=True)
            try:
                await visit.open()
                if self["listen"]:
                    outcome, reason = await connectOne(visit, serverEndpoint(reactor, visit.inlet.listen), say)
                else:
                    outcome, reason = await connectStandard(reactor, visit, StandardStreams(reactor), say)
            except CannotListenError as error:
                why = getattr(error.socketError, "strerror", None) or error.socketError
                raise ConfigurationError(f"cannot listen on {self['listen']}: {why}") from None
            finally:
                await visit.close()
            if outcome.value:
                say(f"{outcome.name.lower()}: {reason}")
            return int(outcome.value)

        return runUntilDone(work, bool(self["verbose"]))
