"""
UDP portals with real programs: a name server and dig, and iperf3; real
processes and sockets.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.certificates import makeCertificate
from tests.scenarios.processes import PATIENCE, ROOT, Program, ScenarioTestCase, freePort, require

#: What iperf3 sends, and how long, seconds; what part of it is lost on a machine that has
#: nothing else to do.  And on one that has: what is sent there, and what may be lost of that.
RATE, SECONDS, LOSS = "100M", 4, 0.001
LITTLE, LOSS_AT_MOST = "10M", 0.01


class UDPPortalTests(ScenarioTestCase):
    """
    A private service, reached through a relay by the three commands.
    """

    def start3(self, outlet: tuple[str, ...], inlet: tuple[str, ...]) -> tuple[Program, Program]:
        """
        Start relay, outlet and inlet.
        """
        at = freePort()
        self.twist("ockam-relay", "--listen", f"tcp:{at}:interface=127.0.0.1", state="relay").value("Identifier")
        inletIs, outletIs = self.identity("inlet"), self.identity("outlet")
        out = self.twist("ockam-outlet", *outlet, "--relay", f"127.0.0.1:{at}", "--authorized", inletIs, state="outlet")
        address = out.value("Forwarding address")
        into = self.twist(
            "ockam-inlet", *inlet, "--authorized", outletIs,
            "--to", f"/ip4/127.0.0.1/tcp/{at}/service/{address}/secure/api/service/outlet", state="inlet",
        )  # fmt: skip
        into.value("Identifier")
        return out, into

    def test_dns(self) -> None:
        """
        A name server is asked by UDP, and by TCP through the same commands.
        """
        require("dig")
        named = shutil.which("named", path=f"{os.environ['PATH']}:/usr/sbin")
        if named is None:
            require("named")
        zone = self.folder / "zone"
        many = "".join(f'big TXT "{"x" * 200}{number}"\n' for number in range(5))
        zone.write_text(f"$TTL 60\n@ SOA a b 1 1 1 1 1\n@ NS a\na A 192.0.2.53\nwww A 192.0.2.80\n{many}")
        at, port = freePort(), freePort()
        configuration = self.folder / "named.conf"
        configuration.write_text(
            f'options {{ directory "{self.folder}"; listen-on port {at} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n'
            f'pid-file "{self.folder}/named.pid"; recursion no; dnssec-validation no; session-keyfile none; }};\n'
            f'controls {{ }};\nzone "private.example" {{ type master; file "{zone}"; }};\n'
        )
        self.start(str(named), "-f", "-g", "-4", "-c", str(configuration))
        self.waitForPort(at)
        self.start3(
            ("--target", f"127.0.0.1:{at}", "--udp-target", f"127.0.0.1:{at}"),
            ("--listen", str(port), "--udp-listen", str(port)),
        )
        self.waitForPort(port)
        for options, name, kind, said in (
            (("+notcp", "+ignore"), "www", "A", "192.0.2.80"),
            (("+tcp",), "www", "A", "192.0.2.80"),
            (("+notcp", "+bufsize=4096"), "big", "TXT", "xxx4"),
        ):
            asked = subprocess.run(
                ["dig", "+tries=3", "+time=3", *options, "-p", str(port), "@127.0.0.1",
                 f"{name}.private.example", kind],
                capture_output=True, text=True, timeout=PATIENCE,
            )  # fmt: skip
            self.assertIn(said, asked.stdout, asked.stderr)

    def test_iperf(self) -> None:
        """
        Many megabits a second each way, and next to nothing is lost.
        """
        require("iperf3")
        at, port = freePort(), freePort()
        self.start("iperf3", "-s", "-p", str(at), "-B", "127.0.0.1")
        self.waitForPort(at)
        self.start3(
            ("--target", f"127.0.0.1:{at}", "--udp-target", f"127.0.0.1:{at}"),
            ("--listen", str(port), "--udp-listen", str(port)),
        )
        self.waitForPort(port)
        losses, rates = [], []
        for direction in ((), ("-R",)):
            best = 1.0
            command = ["iperf3", "-c", "127.0.0.1", "-p", str(port), "-u", "-t", str(SECONDS), "-l", "1400"]
            # Two cores have to do for all of this, and for what runs beside it; and the
            # server has to get over who has only looked whether it is there.
            for rate in (*[RATE] * 3, *[LITTLE] * 4):
                asked = [*command, "-b", rate, "-J", *direction]
                try:
                    measured = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE + SECONDS)
                except subprocess.TimeoutExpired:
                    # Its first datagram was lost, and it waits for the answer.
                    continue
                report = json.loads(measured.stdout)
                if "error" in report:
                    time.sleep(1)
                    continue
                end = report["end"]["sum"]
                self.assertGreater(end["packets"], 1000)
                best = min(best, end["lost_packets"] / end["packets"])
                if best < (LOSS if rate == RATE else LOSS_AT_MOST):
                    break
            rates.append(rate)
            losses.append(best)
        said = ", ".join(f"{each:.3%} at {rate}bit/s" for each, rate in zip(losses, rates, strict=True))
        print(f"\n      lost up and down: {said} ...", end="", flush=True)
        self.assertLess(max(losses), LOSS_AT_MOST)

    def test_http3(self) -> None:
        """
        A page of 5 MB by HTTP/3.
        """
        at, port = freePort(), freePort()
        pem, script = makeCertificate(self.folder, "localhost"), str(Path(__file__).with_name("h3.py"))
        # Its reader wants the certificate first.
        key, certificate = pem.read_text().split("-----BEGIN CERTIFICATE-----")
        pem.write_text("-----BEGIN CERTIFICATE-----" + certificate + key)
        self.start(sys.executable, script, "server", str(at), str(pem)).value("Port")
        self.start3(("--udp-target", f"127.0.0.1:{at}"), ("--udp-listen", str(port)))
        client = self.start(sys.executable, script, "client", str(port), "5000000")
        self.assertEqual(client.value("Got"), "5000000 right")

    def test_alone(self) -> None:
        """
        A portal for datagrams only needs no TCP port, and what one sends in vain
        is told of.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
            service.bind(("127.0.0.1", 0))
            service.settimeout(PATIENCE)
            port = freePort()
            _, inlet = self.start3(
                ("--udp-target", f"127.0.0.1:{service.getsockname()[1]}"), ("--udp-listen", str(port))
            )
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.connect(("127.0.0.1", port))
                client.settimeout(PATIENCE)
                client.send(b"ask" * 20_000)
                data, client2 = service.recvfrom(65536)
                self.assertEqual(data, b"ask" * 20_000)
                service.sendto(b"answer", client2)
                self.assertEqual(client.recv(65536), b"answer")
        self.assertNotIn("refused", inlet.text())

    def test_reload(self) -> None:
        """
        A node hears datagrams elsewhere when its file says so; where that
        port is taken the reload is refused, and nothing has changed.
        """

        def file(port: int) -> None:
            (self.folder / "node.yaml").write_text(
                f"state: {{folder: {self.folder}/state}}\n"
                f"inlets:\n  - udp-listen: {port}\n    trust-everyone: true\n"
                '    to: ["/ip4/127.0.0.1/tcp/9/service/x/secure/api/service/outlet"]\n'
            )

        def isTaken(port: int) -> bool:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    return True
                return False

        def reload() -> tuple[int, str]:
            done = subprocess.run(
                [sys.executable, "-m", "ockam_twisted.command", "reload", "--state-dir", f"{self.folder}/state"],
                timeout=PATIENCE, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
            return done.returncode, done.stderr

        one, two = freePort(), freePort()
        file(one)
        node = self.start(
            sys.executable, "-m", "twisted", "--log-format=text", "ockam-node", "--config", f"{self.folder}/node.yaml"
        )
        node.value("Identifier")
        self.assertEqual((isTaken(one), isTaken(two)), (True, False))
        file(two)
        self.assertEqual(reload(), (0, ""))
        self.assertEqual((isTaken(one), isTaken(two)), (False, True))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", one))
            file(one)
            status, said = reload()
            self.assertEqual((status, "cannot hear datagrams at" in said), (1, True), said)
            self.assertTrue(isTaken(two))
        # What it is called is no part of where it hears.
        path = self.folder / "node.yaml"
        file(two)
        path.write_text(path.read_text().replace("  - udp", "  - name: other\n    udp"))
        self.assertEqual(reload(), (0, ""))
        self.assertTrue(isTaken(two))

    def test_noDatagrams(self) -> None:
        """
        An outlet for streams only has no flows of datagrams, and the inlet says so.
        """
        port = freePort()
        _, inlet = self.start3(("--target", "127.0.0.1:9"), ("--udp-listen", str(port)))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(("127.0.0.1", port))
            client.send(b"ask")
            inlet.waitForText("takes no datagrams")
