"""
A relay and an outlet, and C{ockam-twisted connect} in place of an inlet.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import Any

from tests.scenarios.processes import PATIENCE, ROOT, Program, ScenarioTestCase, freePort


class ConnectTestCase(ScenarioTestCase):
    """
    See the module.

    @ivar relay: The relay.
    @ivar outlet: The outlet.
    @ivar way: The options that say where it is and who.
    """

    def environ(self) -> dict[str, str]:
        """
        Where the package is found.
        """
        return {**os.environ, "PYTHONPATH": str(ROOT)}

    def offer(self, target: int, *options: str, authorized: str = "mine") -> None:
        """
        Start relay and outlet.

        @param target: The port of the private service.
        @param options: More of the outlet.
        @param authorized: In which state folder the identity is that the
            outlet knows; empty: as the options say.
        """
        self.relayPort = freePort()
        self.startRelay()
        authorize = ["--authorized", self.identity(authorized)] if authorized else []
        self.outlet = self.twist(
            "ockam-outlet", "--target", f"127.0.0.1:{target}", "--relay", f"127.0.0.1:{self.relayPort}",
            *authorize, *options, state="outlet",
        )  # fmt: skip
        self.address = self.outlet.value("Forwarding address")
        self.way = ["--authorized", self.identity("outlet"), "--to", self.wayTo(self.address)]

    def wayTo(self, name: str, at: int = 0, worker: str = "outlet") -> str:
        """
        A MultiAddr.
        """
        return f"/ip4/127.0.0.1/tcp/{at or self.relayPort}/service/{name}/secure/api/service/{worker}"

    def startRelay(self) -> Program:
        """
        Start the relay, or start it anew.
        """
        self.relay = self.twist(
            "ockam-relay", "--listen", f"tcp:{self.relayPort}:interface=127.0.0.1", state="relay"
        )  # fmt: skip
        self.relay.value("Identifier")
        return self.relay

    def command(self, *options: str, state: str = "mine", task: str = "connect") -> list[str]:
        """
        The command.
        """
        program = [sys.executable, "-m", "ockam_twisted.command", task]
        return [*program, *(options or self.way), "--state-dir", str(self.folder / state)]

    def asText(self, *options: str, state: str = "mine") -> str:
        """
        The same for a shell.
        """
        return f"env PYTHONPATH={ROOT} {shlex.join(self.command(*options, state=state))}"

    def connect(self, *options: str, state: str = "mine", **more: Any) -> subprocess.Popen[bytes]:
        """
        Begin it, with pipes.
        """
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
        process = subprocess.Popen(self.command(*options, state=state), env=self.environ(), cwd=self.folder, **pipes)

        def end() -> None:
            process.kill()
            for each in (process.stdin, process.stdout, process.stderr):
                if each is not None:
                    each.close()
            process.wait()

        self.addCleanup(end)
        return process

    def exchange(self, data: bytes, *options: str, state: str = "mine") -> tuple[int, bytes, str]:
        """
        Say all at once, and wait for all.

        @return: The exit status, what came back, and what was said of it.
        """
        process = self.connect(*options, state=state)
        out, err = process.communicate(data, PATIENCE)
        return process.returncode, out, err.decode()
