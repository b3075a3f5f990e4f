"""
What lies between the client and the target: nothing, ssh, or an Ockam portal over a relay.

A topology is a context manager. Inside it, L{Topology.port} of 127.0.0.1 leads to the target port, and
L{Topology.roles} has the programs that do it, by the part they play: "inlet", "relay", "outlet".
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from processes import BenchmarkError, Program, cpuSeconds, findProgram, freePort, labelled, memory, stop

CHECKOUT = Path(__file__).resolve().parent.parent
TWIST = (sys.executable, "-m", "twisted", "--log-format=text")
"""`twist` of the interpreter that runs the benchmark, wherever its scripts lie."""

ROLES = ("inlet", "relay", "outlet")
PEER = "rust-peer"
"""What stands among L{Topology.needs} for the program of L{rustPeer}."""
PEERS = "OCKAM_TWISTED_PEERS"
PROBE_TIMEOUT = 30.0
PRIVILEGE_SEPARATION = Path("/run/sshd")


def environment() -> dict[str, str]:
    """
    The environment of started programs: this checkout is importable, and compiled as what is installed is; no ssh
    agent, no inherited state folder.
    """
    result = dict(os.environ)
    path = [str(CHECKOUT), *filter(None, [result.get("PYTHONPATH")])]
    result["PYTHONPATH"] = os.pathsep.join(path)
    for name in ("SSH_AUTH_SOCK", "STATE_DIRECTORY", "NOTIFY_SOCKET", "PYTHONDONTWRITEBYTECODE"):
        result.pop(name, None)
    return result


def rustPeer() -> str:
    """
    The newest Rust peer, built by C{tests/interop/build.sh}.

    @raise BenchmarkError: it is not built.
    """
    folder = os.environ.get(PEERS)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ockam-twisted-interop"
    program = Path(folder or cache) / "newest" / "release" / "peer"
    if not os.access(program, os.X_OK):
        raise BenchmarkError(f"the Rust peer is not built: run tests/interop/build.sh, or set {PEERS}")
    return str(program)


def notInstalled(*programs: str) -> str | None:
    """Which of some programs is missing, in words; L{None} if none is."""
    for name in programs:
        try:
            rustPeer() if name == PEER else findProgram(name)
        except BenchmarkError as problem:
            return str(problem)
    return None


class Topology:
    """Nothing in between, and what the others have in common."""

    name: ClassVar[str] = "raw"
    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, target: int, probe: Callable[[int], None]) -> None:
        """
        @param target: the port of 127.0.0.1 to lead to.
        @param probe: uses a port like a client; raises C{OSError} or C{EOFError} until the target answers.
        """
        self.target = target
        self.port = target
        self.roles: dict[str, list[Program]] = {}
        self._probe = probe
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """A folder that lives as long as the topology."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix=f"benchmark-{self.name}-"))
        return self._folder

    def __enter__(self) -> Self:
        try:
            self.build()
            self._waitForTarget()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def build(self) -> None:
        """Start what lies in between. @raise BenchmarkError: it does not start."""

    def remove(self) -> None:
        """Stop everything and remove the folder."""
        try:
            stop(program for programs in self.roles.values() for program in programs)
        finally:
            self.roles.clear()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)
                self._folder = None

    def start(self, role: str, name: str, *command: str) -> Program:
        """Start a program in a role."""
        program = Program(name, command, self.folder, environment())
        self.roles.setdefault(role, []).append(program)
        return program

    def pids(self, role: str) -> list[int]:
        """The processes of a role now."""
        return [pid for program in self.roles.get(role, ()) for pid in program.pids()]

    def cpu(self) -> dict[str, float]:
        """CPU seconds used up to now, by role."""
        return {role: cpuSeconds(self.pids(role)) for role in self.roles}

    def memory(self) -> dict[str, float]:
        """Memory of all processes in MB, "rss" and "pss"."""
        return memory(pid for role in self.roles for pid in self.pids(role))

    def logTail(self) -> str:
        """The ends of the logs of all programs."""
        programs = (program for role in self.roles.values() for program in role)
        return "\n".join(f"--- {program.name}, {program.state()}\n{program.logTail(600)}" for program in programs)

    def _waitForTarget(self) -> None:
        deadline = time.monotonic() + PROBE_TIMEOUT
        while True:
            try:
                return self._probe(self.port)
            except (OSError, EOFError) as problem:
                if time.monotonic() > deadline:
                    raise BenchmarkError(
                        f"{self.name}: the target does not answer: {problem}\n{self.logTail()}"
                    ) from None
            time.sleep(0.1)


class Ssh(Topology):
    """
    End to end encrypted like ours: the outlet side registers its own sshd at the relay's (C{ssh -R}), and the inlet's
    C{ssh -L} jumps through the relay to that sshd. Ciphers and everything else about speed are OpenSSH's defaults.
    """

    name = "ssh"
    needs = ("ssh", "sshd", "ssh-keygen")

    def build(self) -> None:
        """Two sshd with keys of their own, and two ssh."""
        relay, outlet, registered, self.port = freePort(), freePort(), freePort(), freePort()
        for key in ("host_key", "user_key"):
            subprocess.run(
                [findProgram("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / key)],
                check=True,
                timeout=PROBE_TIMEOUT,
            )
        shutil.copy(self.folder / "user_key.pub", self.folder / "authorized_keys")
        self._writeClientConfiguration(relay, registered)
        self._startServer("relay", "relay-sshd", relay)
        self._startServer("outlet", "outlet-sshd", outlet)
        ssh = (findProgram("ssh"), "-F", str(self.folder / "ssh_config"), "-N")
        registration = self.start(
            "outlet", "outlet-ssh", *ssh, "-R", f"127.0.0.1:{registered}:127.0.0.1:{outlet}", "relay"
        )
        registration.waitForPort(registered)
        forward = f"127.0.0.1:{self.port}:127.0.0.1:{self.target}"
        self.start("inlet", "inlet-ssh", *ssh, "-J", "relay", "-L", forward, "outlet").waitForPort(self.port)

    def _startServer(self, role: str, name: str, port: int) -> None:
        if os.getuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        configuration = self.folder / f"{name}.conf"
        configuration.write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {self.folder}/host_key\n"
            f"AuthorizedKeysFile {self.folder}/authorized_keys\nPidFile none\nUsePAM no\nStrictModes no\n"
            "PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "AllowTcpForwarding yes\nUseDNS no\nLogLevel ERROR\n"
        )
        self.start(role, name, findProgram("sshd"), "-D", "-e", "-f", str(configuration)).waitForPort(port)

    def _writeClientConfiguration(self, relay: int, registered: int) -> None:
        (self.folder / "ssh_config").write_text(
            f"Host relay\n  Port {relay}\nHost outlet\n  Port {registered}\n"
            f"Host *\n  HostName 127.0.0.1\n  User {getpass.getuser()}\n  IdentityFile {self.folder}/user_key\n"
            "  IdentitiesOnly yes\n  BatchMode yes\n  ExitOnForwardFailure yes\n  StrictHostKeyChecking no\n"
            "  UserKnownHostsFile /dev/null\n  GlobalKnownHostsFile /dev/null\n  ControlMaster no\n  LogLevel ERROR\n"
        )


class Portal(Topology):
    """
    A portal over a relay as an operator starts it; either side admits the other's identifier only.

    @cvar rust: the roles that the Rust implementation plays; we play the others.
    @ivar relay: the port of the relay.
    """

    name = "ours"
    rust: ClassVar[frozenset[str]] = frozenset()

    def build(self) -> None:
        """Three processes; inlet and outlet have a state folder each."""
        relay = self.relay = freePort()
        self.port = freePort()
        client, server = self._identity("inlet"), self._identity("outlet")
        self._startRelay(relay)
        address = self._startOutlet(relay, client)
        trust = ("--to", self.way(relay, address), "--authorized", server)
        if "inlet" in self.rust:
            self._peer("inlet", "--listen", f"127.0.0.1:{self.port}", *trust).waitForLine("Ready")
        else:
            self._twist("inlet", "ockam-inlet", "--listen", f"tcp:{self.port}:interface=127.0.0.1", *trust).waitForPort(
                self.port
            )

    def way(self, relay: int, address: str) -> str:
        """Where the outlet is, for the inlet."""
        return f"/ip4/127.0.0.1/tcp/{relay}/service/{address}/secure/api/service/outlet"

    def _startRelay(self, port: int) -> None:
        if "relay" in self.rust:
            # What a node of either kind needs to register under a name.
            self._peer("relay", "--listen", f"127.0.0.1:{port}", "--alias", "static_forwarding_service").waitForLine(
                "Ready"
            )
        else:
            # It listens before it relays.
            self._twist("relay", "ockam-relay", "--listen", f"tcp:{port}:interface=127.0.0.1").waitForLine("Identifier")

    def _startOutlet(self, relay: int, client: str) -> str:
        common = ("--target", f"127.0.0.1:{self.target}", "--authorized", client)
        if "outlet" in self.rust:
            there = ("--relay", f"/ip4/127.0.0.1/tcp/{relay}", "--relay-name", "private", "--secure", "api")
            outlet = self._peer("outlet", *common, *there)
            outlet.waitForLine("Ready")
        else:
            outlet = self._twist("outlet", "ockam-outlet", *common, "--relay", f"127.0.0.1:{relay}")
        return outlet.waitForLine("Forwarding address")

    def _state(self, role: str) -> tuple[str, str]:
        return ("--state" if role in self.rust else "--state-dir", str(self.folder / f"state-{role}"))

    def _peer(self, role: str, *options: str) -> Program:
        return self.start(role, role, rustPeer(), role, *options, *self._state(role))

    def _twist(self, role: str, command: str, *options: str) -> Program:
        return self.start(role, role, *TWIST, command, *options, *self._state(role))

    def _identity(self, role: str) -> str:
        """The identifier in a role's state folder, made there when missing."""
        if role in self.rust:
            command = (rustPeer(), "identity")
        else:
            command = (sys.executable, "-m", "ockam_twisted.command", "identity", "show")
        done = subprocess.run(
            [*command, *self._state(role)],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            text=True,
            timeout=PROBE_TIMEOUT,
        )
        if found := labelled(done.stdout, "Identifier"):
            return found[0]
        raise BenchmarkError(f"the identity of the {role} was not made\n{done.stdout[-800:]}{done.stderr[-800:]}")


class Rust(Portal):
    """The same with the Rust implementation in every role."""

    name = "rust"
    needs = (PEER,)
    rust = frozenset(ROLES)


class OurInlet(Portal):
    """The Rust implementation with an inlet of ours."""

    name = "inlet"
    needs = (PEER,)
    rust = frozenset(("relay", "outlet"))


class OurRelay(Portal):
    """The Rust implementation with a relay of ours."""

    name = "relay"
    needs = (PEER,)
    rust = frozenset(("inlet", "outlet"))


class OurOutlet(Portal):
    """The Rust implementation with an outlet of ours."""

    name = "outlet"
    needs = (PEER,)
    rust = frozenset(("inlet", "relay"))


TOPOLOGIES: dict[str, type[Topology]] = {
    kind.name: kind for kind in (Topology, Ssh, Rust, Portal, OurInlet, OurRelay, OurOutlet)
}
"""All topologies by name, in the order of the table's columns."""


def probeEcho(port: int) -> None:
    """One byte to L{targets} and back."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"e")
        if connection.recv(1) != b"e":
            raise EOFError("no byte came back")


def probeHttp(port: int) -> None:
    """One request to a web server."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if not connection.recv(64).startswith(b"HTTP/1.1 200"):
            raise EOFError("no answer from the web server")
