"""
Three hosts, each a network namespace, and the roads between them: where the
inlet and its clients are, the relay, and where the outlet and its target are.

Needs root, namespaces and TUN devices; is skipped, loudly, without them.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.scenarios.processes import PATIENCE, Program, ScenarioTestCase, require
from tests.scenarios.road import entered

RELAY_PORT, INLET_PORT = 4000, 4001
RELAY = ("10.77.1.1", "10.77.2.1")
INLET, OUTLET = "10.77.1.2", "10.77.2.2"

_counter = itertools.count()


def ip(*arguments: str) -> None:
    """
    Run ip(8).
    """
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def requireNetwork() -> None:
    """
    Skip, loudly, where there can be no namespaces with roads between them.
    """
    require("ip")
    name = f"otw-{os.getpid()}-probe"
    if os.geteuid() != 0:
        raise SkipTest("NOT ROOT: no network namespaces, so no faults of the network can be made")
    if not os.path.exists("/dev/net/tun"):
        raise SkipTest("NO /dev/net/tun: no roads between network namespaces, so no faults of the network can be made")
    try:
        ip("netns", "add", name)
    except AssertionError as error:
        raise SkipTest(f"NO NETWORK NAMESPACES HERE ({error}): no faults of the network can be made") from None
    try:
        ip("-n", name, "tuntap", "add", "dev", "road", "mode", "tun")
    except AssertionError as error:
        raise SkipTest(f"NO TUN DEVICES HERE ({error}): no faults of the network can be made") from None
    finally:
        ip("netns", "delete", name)


class Host:
    """
    One network namespace.

    @ivar name: What ip(8) calls it.
    """

    def __init__(self, what: str) -> None:
        self.name = f"otw-{os.getpid()}-{next(_counter)}-{what}"
        ip("netns", "add", self.name)
        try:
            ip("-n", self.name, "link", "set", "lo", "up")
        except AssertionError:
            self.remove()
            raise

    def ip(self, *arguments: str) -> None:
        """
        Run ip(8) here.
        """
        ip("-n", self.name, *arguments)

    def remove(self) -> None:
        """
        Remove it; nothing may run here any more.
        """
        ip("netns", "delete", self.name)

    def run(self, *arguments: str) -> str:
        """
        Run a program here, to its end.
        """
        done = subprocess.run(["ip", "netns", "exec", self.name, *arguments], capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"{' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def connect(self, port: int, address: str = "127.0.0.1") -> socket.socket:
        """
        Connect from here.
        """
        with entered(self.name):
            return socket.create_connection((address, port), PATIENCE)

    def listen(self, address: str = "127.0.0.1") -> socket.socket:
        """
        Listen here, on a port that nobody uses.
        """
        with entered(self.name):
            return socket.create_server((address, 0), backlog=128)


class Road:
    """
    See L{tests.scenarios.road}.

    @ivar process: It.
    """

    def __init__(self, here: Host, there: Host, hereDevice: str, thereDevice: str, seed: int) -> None:
        script = str(Path(__file__).with_name("road.py"))
        self._lock = threading.Lock()
        self.process = subprocess.Popen(
            [sys.executable, script, str(seed), here.name, there.name, hereDevice, thereDevice],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        said = self._answer()
        if said != b"Road: open\n":
            self.end()
            raise AssertionError(f"the road says {said!r}")

    def _answer(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def change(self, **conditions: Any) -> dict[str, list[int]]:
        """
        Let it be another one from now on: see
        L{Direction<tests.scenarios.road.Direction>}.

        @return: For C{there} and C{back}: packets carried, dropped, bytes
            carried.
        """
        assert self.process.stdin is not None
        with self._lock:
            self.process.stdin.write(json.dumps(conditions).encode("ascii") + b"\n")
            self.process.stdin.flush()
            return dict(json.loads(self._answer()))

    def end(self) -> None:
        """
        Take it away.
        """
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.kill()
        self.process.wait()


class NetworkTestCase(ScenarioTestCase):
    """
    Tests with three hosts.

    @ivar hosts: C{inlet}, C{relay} and C{outlet}.
    @ivar roads: From C{inlet} and from C{outlet} to the relay.
    @ivar relayAt: Where the outlet registers.
    @ivar wayToRelay: The MultiAddr of the relay, for the inlet.
    """

    relayAt = f"{RELAY[1]}:{RELAY_PORT}"
    wayToRelay = f"/ip4/{RELAY[0]}/tcp/{RELAY_PORT}"

    def setUp(self) -> None:
        """
        Build the network.
        """
        requireNetwork()
        super().setUp()
        self._identities: dict[str, str] = {}
        self.seed = random.SystemRandom().randrange(10**9)
        self.hosts: dict[str, Host] = {}
        self.roads: dict[str, Road] = {}
        for name in ("inlet", "relay", "outlet"):
            self.hosts[name] = host = Host(name)
            self.addCleanup(host.remove)
        for number, name in enumerate(("inlet", "outlet")):
            device, relay, host = f"to-{name}", self.hosts["relay"], self.hosts[name]
            self.roads[name] = road = Road(host, relay, "road", device, self.seed + number)
            self.addCleanup(road.end)
            net = number + 1
            for each, dev, at in ((host, "road", 2), (relay, device, 1)):
                each.ip("address", "add", f"10.77.{net}.{at}/24", "dev", dev)
                each.ip("link", "set", dev, "up")

    def identity(self, state: str) -> str:
        """
        The identifier in a state folder, which stays the same.
        """
        if state not in self._identities:
            self._identities[state] = super().identity(state)
        return self._identities[state]

    def start(self, *arguments: str) -> Program:
        """
        Start a program; it is killed in the end, as nothing is to be learned
        from how it would end by itself.
        """
        program = super().start(*arguments)
        self.addCleanup(program.process.kill)
        return program

    def on(self, host: str, plugin: str, *arguments: str) -> Program:
        """
        Start a plugin on a host; its state folder is named after the host.
        """
        folder = str(self.folder / host)
        command = [*self.command(), plugin, *arguments, "--state-dir", folder]
        return self.start("ip", "netns", "exec", self.hosts[host].name, *command)

    def command(self) -> list[str]:
        """
        What runs a plugin.
        """
        return [sys.executable, "-m", "twisted", "--log-format=text"]

    def startRelay(self, *options: str) -> Program:
        """
        Start the relay, or start it again.
        """
        relay = self.on("relay", "ockam-relay", "--listen", f"tcp:{RELAY_PORT}", *options)
        relay.value("Identifier")
        return relay

    def startOutlet(self, target: int, *options: str) -> Program:
        """
        Start the outlet, or start it again.
        """
        outlet = self.on(
            "outlet", "ockam-outlet", "--target", f"127.0.0.1:{target}", "--relay", self.relayAt,
            "--authorized", self.identity("inlet"), *options,
        )  # fmt: skip
        outlet.value("Forwarding address")
        return outlet

    def startInlet(self, *options: str) -> Program:
        """
        Start the inlet, or start it again.
        """
        outlet = self.identity("outlet")
        inlet = self.on(
            "inlet", "ockam-inlet", "--listen", str(INLET_PORT), "--authorized", outlet, *options,
            "--to", f"{self.wayToRelay}/service/forward_to_{outlet}/secure/api/service/outlet",
        )  # fmt: skip
        inlet.value("Identifier")
        inlet.waitForText("way to the outlet: up")
        return inlet

    def until(self, condition: Callable[[], object], what: str, patience: float = PATIENCE) -> float:
        """
        Wait until something is so.

        @return: How long that took, seconds.
        """
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > patience:
                raise AssertionError(f"in {patience:.0f} s it has not come to this: {what}")
            time.sleep(0.05)
        return time.monotonic() - began
