"""
What C{--http} shows of real nodes: to a real browser, to a scraper, to the
dashboard.  Pictures of the pages are kept in the folder that trial works in.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SkipTest

from tests.scenarios.browser import Browser
from tests.scenarios.processes import PATIENCE, ROOT, Program, ScenarioTestCase, freePort

DASHBOARD = Path(__file__).resolve().parents[2] / "docs" / "grafana" / "ockam_twisted.json"
HOSTILE = "<img src=x onerror=\"document.title='taken'\">"


def ask(port: int, path: str, **headers: str) -> tuple[int, bytes]:
    """
    @return: The status and the body.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class SeeInsideTests(ScenarioTestCase):
    """
    A relay, an outlet that has a second relay that is not there, and a paired
    inlet with streams under load.
    """

    def setUp(self) -> None:
        """
        Start them.
        """
        super().setUp()
        self.relayAt, self.noRelay, self.inletAt = freePort(), freePort(), freePort()
        self.http = {each: freePort() for each in ("relay", "outlet", "inlet")}
        self.relay = self.startRelay()
        self.relay.value("Identifier")
        self.outlet = self.twist(
            "ockam-outlet", "--target", f"127.0.0.1:{self.echoing()}", "--relay", f"127.0.0.1:{self.relayAt}",
            "--relay", f"127.0.0.1:{self.noRelay}", "--http", str(self.http["outlet"]), state="outlet",
        )  # fmt: skip
        self.ticket = self.outlet.value("Ticket")
        self.inlet = self.twist(
            "ockam-inlet", "--listen", str(self.inletAt), "--ticket", self.ticket,
            "--http", str(self.http["inlet"]), "--drain-timeout", "60", state="inlet",
        )  # fmt: skip
        self.inlet.value("Paired with")

    def startRelay(self) -> Program:
        """
        Start it, for the first time or again.
        """
        at = f"tcp:{self.relayAt}:interface=127.0.0.1"
        return self.twist("ockam-relay", "--listen", at, "--http", str(self.http["relay"]), state="relay")

    def echoing(self) -> int:
        """
        A target that sends back what it gets.

        @return: Its port.
        """
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)

        def serve(client: socket.socket) -> None:
            try:
                while data := client.recv(65536):
                    client.sendall(data)
            except OSError:
                pass
            client.close()

        def accept() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        return int(server.getsockname()[1])

    def load(self, streams: int) -> None:
        """
        Streams that are used until the end of the test.
        """
        over = threading.Event()
        threads = []

        def use(client: socket.socket) -> None:
            data = b"x" * 20000
            with client:
                while not over.wait(0.05):
                    client.sendall(data)
                    left = len(data)
                    while left:
                        left -= len(client.recv(left)) or left

        for _ in range(streams):
            client = socket.create_connection(("127.0.0.1", self.inletAt), PATIENCE)
            client.settimeout(PATIENCE)
            threads.append(threading.Thread(target=use, args=(client,), daemon=True))
            threads[-1].start()

        def end() -> None:
            over.set()
            for thread in threads:
                thread.join()

        self.addCleanup(end)

    def status(self, whose: str) -> dict[str, Any]:
        """
        What a node says.
        """
        code, body = ask(self.http[whose], "/status")
        self.assertEqual(code, 200)
        status: dict[str, Any] = json.loads(body)
        return status

    def waitUntilReady(self, whose: str, isReady: bool = True) -> str:
        """
        @return: What it says then.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            code, body = ask(self.http[whose], "/ready")
            if (code == 200) is isReady:
                return body.decode()
            self.assertLess(time.monotonic(), deadline, body)
            time.sleep(0.1)

    def addHostileMember(self) -> None:
        """
        Somebody with an attribute that is markup.
        """
        command = [sys.executable, "-m", "ockam_twisted.command", "member", "add", "I" + "a" * 64]
        subprocess.run(
            [*command, "--state-dir", str(self.folder / "outlet"), "--attribute", f"team={HOSTILE}"],
            env={"PYTHONPATH": str(ROOT)},
            cwd=self.folder,
            timeout=PATIENCE,
            check=True,
            capture_output=True,
        )

    def test_page(self) -> None:
        """
        The page shows to a browser, on a desk and on a phone, what there is:
        streams with their rates, the way hop by hop, who is a member, what is
        down and why; it runs nothing that others have written, fetches
        nothing from elsewhere, and shows no ticket.
        """
        browser = Browser()
        self.addCleanup(browser.close)
        self.addHostileMember()
        self.load(3)
        self.waitUntilReady("outlet", False)
        outlet = str(self.status("outlet")["identifier"])
        expected = {
            "outlet": (
                "Not ready: 1 of 2 ways up",
                f"relay 127.0.0.1:{self.noRelay}",
                "Connection was refused",
                HOSTILE,
            ),
            "inlet": ("1 of 1 way up", "way to the outlet", f"127.0.0.1:{self.relayAt}", "3 open streams"),
            "relay": ("Ready", "Relayed names", f"forward_to_{outlet[:9]}"),
        }
        for whose, texts in expected.items():
            at = f"http://127.0.0.1:{self.http[whose]}/"
            for name, width, isDark in (("desk", 1280, False), ("phone", 375, True)):
                browser.look(width, 800, isDark)
                browser.driver.get(at)
                browser.waitFor("return document.querySelectorAll('#picture .box').length", lambda count: count > 1)
                if whose != "relay":
                    # Rates are known when it has asked twice.
                    browser.waitFor("return document.querySelectorAll('#streams tbody tr').length", lambda n: n == 3)
                    browser.waitFor("return document.querySelectorAll('#picture .link.flowing').length")
                    self.assertIn("B/s", browser.run("return document.querySelector('#streams tbody').innerText"))
                page = browser.text()
                for text in texts:
                    self.assertIn(text, page)
                self.assertNotIn(self.ticket, page + browser.run("return document.documentElement.outerHTML"))
                wide = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
                self.assertLessEqual(wide[0], wide[1], f"{whose}, {name}: wider than the screen")
                assets = browser.run("return performance.getEntriesByType('resource').map((each) => each.name)")
                self.assertEqual([each for each in assets if not each.startswith(at)], [])
                self.assertEqual(browser.run("return document.title"), f"ockam-{whose}")
                self.assertEqual(browser.run("return document.querySelectorAll('main img, main script').length"), 0)
                self.assertEqual(browser.complaints(), [])
                browser.picture(Path(f"page-{whose}-{name}.png"))

    def test_broken(self) -> None:
        """
        Without its relay a node is not ready and says why; the page turns red
        and green again by itself, and shows what has happened.  Without the
        node it says that nobody answers.
        """
        browser = Browser()
        self.addCleanup(browser.close)
        self.waitUntilReady("inlet")
        browser.driver.get(f"http://127.0.0.1:{self.http['inlet']}/")
        verdict = "return document.getElementById('verdict').innerText"
        browser.waitFor(verdict, lambda text: text == "1 of 1 way up")
        self.relay.end()
        said = self.waitUntilReady("inlet", False)
        self.assertIn("way to the outlet: ", said)
        browser.waitFor(verdict, lambda text: text.startswith("Not ready"))
        browser.waitFor("return document.querySelectorAll('#picture .box.down, #picture .box.wait').length")
        browser.picture(Path("page-broken.png"))
        self.startRelay()
        self.waitUntilReady("inlet")
        browser.waitFor(verdict, lambda text: text == "1 of 1 way up")
        browser.run("document.querySelector('#ways details').open = true")
        history = browser.waitFor("return document.querySelector('#ways details[open] .history')?.innerText")
        self.assertGreaterEqual(history.count(" ago"), 2, history)
        self.inlet.end()
        browser.waitFor(verdict, lambda text: text.startswith("No answer"))
        self.assertIn("way to the outlet", browser.text())

    def test_drain(self) -> None:
        """
        A node that was asked to stop and waits for its streams is not ready
        any more, and lives.
        """
        self.waitUntilReady("inlet")
        with socket.create_connection(("127.0.0.1", self.inletAt), PATIENCE) as client:
            client.settimeout(PATIENCE)
            client.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")
            self.inlet.process.send_signal(signal.SIGTERM)
            self.assertEqual(self.waitUntilReady("inlet", False), "not ready:\nthe node is stopping\n")
            self.assertEqual(ask(self.http["inlet"], "/health"), (200, b"stopping\n"))
            self.assertEqual(self.status("inlet")["streams"], 1)
        # Nothing is open: it does not wait for the end of its time.
        self.inlet.process.wait(PATIENCE)

    def scrape(self) -> dict[str, set[str]]:
        """
        Scrape all nodes.

        @return: From the name of each metric to the labels that it has.
        """
        from prometheus_client.parser import text_string_to_metric_families as read

        found: dict[str, set[str]] = {}
        for port in self.http.values():
            code, body = ask(port, "/metrics")
            self.assertEqual(code, 200)
            for family in read(body.decode()):
                self.assertTrue(family.documentation, family.name)
                for sample in family.samples:
                    found.setdefault(sample.name, set()).update(sample.labels)
        return found

    def test_metrics(self) -> None:
        """
        Both forms of metrics can be read by the parsers of Prometheus; what
        went through is what they count; no label names a peer.
        """
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as readOpen
        from prometheus_client.parser import text_string_to_metric_families as read

        self.load(2)
        deadline = time.monotonic() + PATIENCE
        while (status := self.status("inlet"))["portals"][0]["received"] < 100_000 or status["streams"] != 2:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.05)
        _, text = ask(self.http["inlet"], "/metrics")
        samples = {
            (sample.name, sample.labels.get("direction", "")): sample.value
            for family in read(text.decode())
            for sample in family.samples
        }
        self.assertGreaterEqual(samples["ockam_stream_bytes_total", "received"], 100_000)
        self.assertEqual(samples["ockam_streams_open", ""], 2)
        self.assertEqual((samples["ockam_session_up", ""], samples["ockam_ready", ""]), (1, 1))
        self.assertGreater(samples["ockam_session_round_trip_seconds", ""], 0)
        _, text = ask(self.http["inlet"], "/metrics", Accept="application/openmetrics-text; version=1.0.0")
        self.assertIn("ockam_streams_open", {family.name for family in readOpen(text.decode())})
        peers = [str(self.status(each)["identifier"]) for each in ("outlet", "relay")]
        for each in ("inlet", "relay"):
            _, text = ask(self.http[each], "/metrics")
            own = str(self.status(each)["identifier"])
            for peer in peers:
                if peer != own:
                    self.assertNotIn(peer.encode(), text)

    def test_dashboard(self) -> None:
        """
        Every metric that the dashboard draws is there when real nodes are
        asked, with the labels that it asks for.
        """
        if not DASHBOARD.exists():
            raise SkipTest("these tests are not in a checkout")
        self.load(1)
        # What nobody has dropped has no series.
        found = {"ockam_messages_dropped_total": {"reason"}, **self.scrape()}
        dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
        panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
        expressions = [target["expr"] for panel in panels for target in panel["targets"]]
        self.assertGreater(len(expressions), 20)
        used = set()
        for panel in panels:
            for target in panel["targets"]:
                expression = target["expr"]
                names = re.findall(r"\b(?:ockam|process)_\w+", expression)
                self.assertTrue(names, expression)
                used.update(names)
                for name in names:
                    self.assertIn(name, found, expression)
                by = re.findall(r"by \(([^)]*)\)", expression)
                asked = set(re.split(r",\s*", by[0])) if by else set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
                missing = asked - {"instance", "job"} - set.union(*(found[name] for name in names))
                self.assertEqual(missing, set(), expression)
        # The alerts go by the same metrics.
        alerts = DASHBOARD.with_name("alerts.yml").read_text(encoding="utf-8")
        for name in re.findall(r"\bockam_\w+", alerts):
            self.assertIn(name, found, "alerts.yml")
        page = DASHBOARD.parents[1].joinpath("observability.rst").read_text(encoding="utf-8")
        self.assertEqual([name for name in found if name not in page], [], "docs/observability.rst")
        # And the other way round: what there is to be seen is seen.
        unseen = {"ockam_node_info", "ockam_uptime_seconds", "ockam_session_state", "ockam_session_state_seconds"}
        unseen |= {"ockam_process_connections"}
        self.assertEqual({name for name in found if not name.startswith("python_")} - used - unseen, set())
        ids = [panel["id"] for panel in dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            self.assertFalse(taken & cells, panel["title"])
            self.assertLessEqual(at["x"] + at["w"], 24)
            taken |= cells
