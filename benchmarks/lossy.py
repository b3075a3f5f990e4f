"""
Roads that lose packets: C{python benchmarks/lossy.py} moves bytes down one stream over
TCP and over QUIC, both sides of the relay being such a road, and prints a table.

Needs root, network namespaces and TUN devices, and C{pip install '.[test]'}.  The roads are
a program in user space: they are slow, and the same for both.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.scenarios.network import RELAY, NetworkTestCase

LOSSES, DELAYS = (0.0, 0.01, 0.05), (0.02, 0.1, 0.2)

#: The ports of the relay, by what is spoken there.
PORTS = {"tcp": 4000, "quic": 4002}

#: Seconds that one measurement may take.
PATIENCE = 60.0


class Lossy(NetworkTestCase):
    """
    Three hosts, and one pair of inlet and outlet for each transport.
    """

    def runTest(self) -> None:
        """
        Nothing: see L{measure}.
        """

    def serve(self) -> int:
        """
        Whoever connects gets bytes until he has enough.

        @return: The port, at the host of the outlet.
        """
        server = self.hosts["outlet"].listen()

        def send(client: socket.socket) -> None:
            try:
                while True:
                    client.sendall(bytes(65536))
            except OSError:
                client.close()

        def accept() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=send, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return int(server.getsockname()[1])

    def open(self) -> dict[str, int]:
        """
        Start everything.

        @return: The port of each inlet.
        """
        target, inlets = self.serve(), {}
        self.on("relay", "ockam-relay", "--ephemeral", "--listen", "tcp:4000", "--listen", "quic:4002").value(
            "Identifier"
        )
        for number, (kind, port) in enumerate(PORTS.items()):
            road = {"tcp": f"tcp/{port}", "quic": f"udp/{port}/quic"}[kind]
            name, at = f"over-{kind}", 5000 + number
            outlet = self.on(
                "outlet", "ockam-outlet", "--target", f"127.0.0.1:{target}", "--instance", kind, "--name", name,
                "--relay", f"/ip4/{RELAY[1]}/{road}", "--trust-everyone", "--ephemeral",
            )  # fmt: skip
            outlet.value("Forwarding address")
            inlet = self.on(
                "inlet", "ockam-inlet", "--listen", str(at), "--trust-everyone", "--ephemeral",
                "--to", f"/ip4/{RELAY[0]}/{road}/service/forward_to_{name}/secure/api/service/outlet",
            )  # fmt: skip
            inlet.waitForText("way to the outlet: up")
            inlets[kind] = at
        return inlets

    def on(self, host: str, plugin: str, *arguments: str):  # type: ignore[no-untyped-def]
        """
        Start a plugin on a host.
        """
        return self.start("ip", "netns", "exec", self.hosts[host].name, *self.command(), plugin, *arguments)

    def measure(self, port: int, seconds: float) -> float:
        """
        @return: Megabytes in a second, once it has begun.
        """
        with self.hosts["inlet"].connect(port) as client:
            client.settimeout(PATIENCE)
            client.recv(1)
            began, count = time.monotonic(), 0
            while (now := time.monotonic()) - began < seconds:
                count += len(client.recv(1 << 18))
        return count / (now - began) / 1e6


def main() -> None:
    """
    See the module.
    """
    parser = argparse.ArgumentParser(description="Measure one stream over lossy roads, by TCP and by QUIC.")
    parser.add_argument("--rounds", type=int, default=3, help="rounds to take medians of (default 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds of each measurement (default 4)")
    options = parser.parse_args()
    test = Lossy()
    test.setUp()
    try:
        inlets = test.open()
        print(f"{'loss':>6} {'round trip':>11} {'TCP MB/s':>9} {'QUIC MB/s':>10} {'ratio':>6}")
        for loss in LOSSES:
            for delay in DELAYS:
                # Each of the two roads has half of it, there and back.
                for road in test.roads.values():
                    road.change(loss=loss, delay=delay / 4)
                time.sleep(1)
                rates: dict[str, list[float]] = {kind: [] for kind in inlets}
                for _ in range(options.rounds):
                    for kind, port in inlets.items():
                        rates[kind].append(test.measure(port, options.seconds))
                tcp, quic = (statistics.median(rates[kind]) for kind in ("tcp", "quic"))
                print(f"{loss:6.0%} {delay * 1000:8.0f} ms {tcp:9.2f} {quic:10.2f} {quic / tcp:6.1f}", flush=True)
    finally:
        test.doCleanups()


if __name__ == "__main__":
    main()
