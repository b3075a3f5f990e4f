"""
Portals through a stream of a real broker: real programs, in real time.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from twisted.trial.unittest import SkipTest

from tests.interop.peers import HEAD, content, exchange, receiveExactly
from tests.kafka import renewing
from tests.kafka.brokers import Broker, KafkaTestCase
from tests.scenarios.processes import CURL, Stopwatch, freePort, require
from tests.test_examples import EXAMPLES

#: Bytes that go each way.
SIZE = 20 * 1024 * 1024

#: Seconds that a group gives one of its members, and more: who is away for so long is
#: not a member any more.
LONGER = 15.0


class StreamTests(KafkaTestCase):
    """
    A portal.
    """

    def test_exact(self) -> None:
        """
        What goes through, in both directions, is what comes out; the broker, which has
        all of it, can read none, nor who it is from.
        """
        _, port, _, _ = self.portal()
        with socket.create_connection(("127.0.0.1", port), 60) as client:
            exchange(client, SIZE, SIZE)
            marker = b"a word that nobody else shall read " * 4
            with socket.create_connection(("127.0.0.1", port), 60) as other:
                other.sendall(marker)
                time.sleep(1)
        everything = self.broker.everything()
        self.assertTrue({"blue.there", "blue.back"} <= everything.keys(), everything.keys())
        for topic in ("blue.there", "blue.back"):
            self.assertGreater(sum(map(len, everything[topic])), SIZE)
        names = [self.identity(each)[1:] for each in ("inlet", "outlet")]
        secrets = [marker[:16], *(each.encode() for each in names), *map(bytes.fromhex, names), b"outlet"]
        for topic, records in everything.items():
            for record in records:
                for secret in secrets:
                    self.assertNotIn(secret, record, topic)

    def test_repeated(self) -> None:
        """
        Somebody writes everything that goes through both topics once more, and nonsense with it: no byte
        comes twice, and nothing ends.
        """
        transfers, port, into, out = self.streamed()
        at = {"bootstrap.servers": f"127.0.0.1:{self.broker.port}"}
        reader = Consumer({**at, "group.id": "spy", "enable.auto.commit": False, "auto.offset.reset": "earliest"})
        self.addCleanup(reader.close)
        reader.assign([TopicPartition(topic, 0, 0) for topic in ("blue.there", "blue.back")])
        writer = Producer(at)
        transfer = transfers.begin(socket.create_connection(("127.0.0.1", port)), 1e6)
        written = 0
        while written < 500:
            for record in reader.consume(100, 1.0):
                self.assertIsNone(record.error())
                for value in (record.value(), b"nonsense"):
                    writer.produce(record.topic(), value, partition=0)
                written += 1
        writer.flush()
        self.assertGoesOn(transfer)
        self.assertNeverLost(into, out)

    def test_brokerDies(self) -> None:
        """
        The broker is killed, twice, while bytes go both ways, and is away for a while: no
        connection is lost, and no byte.
        """
        transfers, port, into, out = self.streamed()
        transfer = transfers.begin(socket.create_connection(("127.0.0.1", port)), 2e6)
        for _ in range(2):
            self.waitUntil(lambda: transfer.moved > 4e6, "it has begun")
            self.broker.kill()
            time.sleep(LONGER)
            self.broker.start()
        self.assertGoesOn(transfer)
        self.assertNeverLost(into, out)
        for event in ("kafka-away", "kafka-back"):
            self.assertIn(event, into.text() + out.text())

    def test_brokerLater(self) -> None:
        """
        Both sides are there before the broker is, and wait for it; and without one they end as soon as
        they are told to.
        """
        port, folder = self.serveFolder()
        (folder / "page").write_text("hello")
        self.broker.kill()
        out = self.outlet("blue", port)
        listen, into = self.inlet("blue")
        out.waitForText("kafka-unreadable")
        self.broker.start()
        self.assertEqual(self.page(listen), "hello")
        self.broker.kill()
        for each in (out, into):
            each.process.terminate()
            self.assertEqual(each.process.wait(10), -signal.SIGTERM)

    def test_inletIsAway(self) -> None:
        """
        The inlet cannot reach the broker for longer than anybody would wait for a ping:
        first nobody tells it, then its connections are cut.  It goes on where it was.
        """
        transfers, port, into, out = self.streamed(self.broker.gate.port)
        transfer = transfers.begin(socket.create_connection(("127.0.0.1", port)), 2e6)
        self.waitUntil(lambda: transfer.moved > 4e6, "it has begun")
        self.broker.gate.silence()
        time.sleep(3 * LONGER)
        self.broker.gate.cut()
        time.sleep(LONGER)
        self.broker.gate.open()
        self.assertGoesOn(transfer)
        self.assertNeverLost(into, out)

    def test_outletIsAway(self) -> None:
        """
        The outlet stands still for so long that its group has no member any more.  It joins
        again, and goes on where it was.
        """
        transfers, port, into, out = self.streamed()
        transfer = transfers.begin(socket.create_connection(("127.0.0.1", port)), 2e6)
        self.waitUntil(lambda: transfer.moved > 4e6, "it has begun")
        os.kill(out.pid, signal.SIGSTOP)
        time.sleep(3 * LONGER)
        os.kill(out.pid, signal.SIGCONT)
        self.assertGoesOn(transfer)
        self.assertNeverLost(into, out)

    def test_renewed(self) -> None:
        """
        Ways are replaced for the bytes that they have carried, side by side in one stream, and
        not for their age; no byte is lost.
        """
        program = self.start(sys.executable, renewing.__file__, str(self.broker.port))
        program.waitForText("Ways: ")
        self.assertEqual((program.value("Same"), program.value("Lost")), ("True", "False"))
        self.assertIn(int(program.value("Ways")), range(2, 6))
        self.assertEqual(program.process.wait(20), 0)

    def test_restarted(self) -> None:
        """
        An outlet that is killed and comes back is found again by who has dialed it, without
        a ping; what is left of its last run in the topics disturbs nobody.
        """
        port, folder = self.serveFolder()
        (folder / "page").write_text("hello")
        out = self.outlet("blue", port)
        listen, _ = self.inlet("blue")
        for how in (signal.SIGKILL, signal.SIGTERM):
            self.assertEqual(self.page(listen), "hello")
            out.process.send_signal(how)
            out.process.wait()
            out = self.outlet("blue", port)
        self.assertEqual(self.page(listen), "hello")

    def page(self, port: int) -> str:
        """
        What a page says, once it can be had.
        """
        url = f"http://127.0.0.1:{port}/page"
        deadline = time.monotonic() + 60
        while True:
            got = subprocess.run([*CURL, url], capture_output=True, text=True)
            if got.returncode == 0:
                return got.stdout
            self.assertLess(time.monotonic(), deadline, got.stderr)

    def test_rebalanced(self) -> None:
        """
        Another outlet joins the group while bytes go through: nothing changes.  Once the
        first one is gone, it has its place.
        """
        transfers = self.transfers()
        port, folder = self.serveFolder()
        (folder / "page").write_text("hello")
        out = self.outlet("blue", transfers.port)
        listen, into = self.inlet("blue", ("outlet", "standby"))
        transfer = transfers.begin(socket.create_connection(("127.0.0.1", listen)), 2e6)
        self.waitUntil(lambda: transfer.moved > 4e6, "it has begun")
        standby = self.outlet("blue", port, "standby")
        standby.waitForText("kafka-elsewhere")
        self.assertGoesOn(transfer)
        self.assertNeverLost(into, out)
        out.end()
        watch = Stopwatch(standby)
        standby.waitForText("kafka-read")
        self.assertLess(watch.seconds(), LONGER / 3, "it has not left its group")
        self.assertEqual(self.page(listen), "hello")

    def test_slow(self) -> None:
        """
        A client that reads nothing for a while costs no memory, and nobody else's time.
        """
        _, port, into, out = self.portal()
        with socket.create_connection(("127.0.0.1", port), 60) as slow:
            exchange(slow, 1 << 20, 1 << 20)
            before = into.memory() + out.memory()
            slow.sendall(HEAD.pack(b"x", 0, 2 * SIZE))
            time.sleep(LONGER)
            with socket.create_connection(("127.0.0.1", port), 60) as other:
                exchange(other, 1 << 20, 1 << 20)
            self.assertLess(into.memory() + out.memory() - before, SIZE)
            self.assertEqual(receiveExactly(slow, 32 + 2 * SIZE)[32:], content(2 * SIZE, 2 * SIZE))
        self.assertNeverLost(into, out)

    def test_relay(self) -> None:
        """
        An outlet registers through a stream at a relay that inlets reach by TCP.  The
        broker is killed; neither the name is lost, nor the connection below it.
        """
        port, folder = self.serveFolder()
        (folder / "page").write_text("hello")
        at, listen = freePort(), freePort()
        relay = self.twist(
            "ockam-relay", "--listen", f"kafka:127.0.0.1:{self.broker.port}:blue", "--listen",
            f"tcp:{at}:interface=127.0.0.1", state="relay",
        )  # fmt: skip
        relay.waitForText("kafka-read")
        out = self.twist(
            "ockam-outlet", "--target", f"127.0.0.1:{port}", "--relay", f"kafka:127.0.0.1:{self.broker.port}:blue",
            "--authorized", self.identity("inlet"), state="outlet",
        )  # fmt: skip
        address = out.value("Forwarding address")
        self.twist(
            "ockam-inlet", "--listen", str(listen), "--authorized", self.identity("outlet"), "--to",
            f"/ip4/127.0.0.1/tcp/{at}/service/{address}/secure/api/service/outlet", state="inlet",
        ).value("Identifier")  # fmt: skip
        self.waitForPort(listen)
        self.assertEqual(self.page(listen), "hello")
        self.broker.kill()
        time.sleep(LONGER)
        self.broker.start()
        self.assertEqual(self.page(listen), "hello")
        self.assertNeverLost(out)

    def test_named(self) -> None:
        """
        A broker that wants to know who comes: whoever does not say it is told so, and says
        so; who does gets through.
        """
        port, folder = self.serveFolder()
        (folder / "page").write_text("hello")
        said = self.folder / "kafka.properties"
        text = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=alice\nsasl.password={}\n"
        said.write_text(text.format("no secret"))
        self.patch(os, "environ", {**os.environ, "OCKAM_TWISTED_KAFKA": str(said)})
        refused = self.outlet("blue", port, at=self.broker.named)
        refused.waitForText("kafka-unreadable")
        # The first answer may come too late.
        refused.waitForText("uthentication failed")
        self.assertNotIn("no secret", refused.text())
        refused.end()
        said.write_text(text.format("a secret"))
        self.outlet("blue", port, at=self.broker.named)
        listen, _ = self.inlet("blue", at=self.broker.named)
        self.assertEqual(self.page(listen), "hello")


class ClusterTests(KafkaTestCase):
    """
    Three brokers, each of which has everything.
    """

    howMany = 3

    def test_leaderDies(self) -> None:
        """
        The broker that leads a topic is killed, and comes back; then that of the other topic.
        No connection is lost, and no byte.
        """
        transfers = self.transfers()
        out = self.outlet("blue", transfers.port)
        port, into = self.inlet("blue", at=self.brokers[1].port)
        transfer = transfers.begin(socket.create_connection(("127.0.0.1", port)), 1e6)
        for topic in ("blue.there", "blue.back"):
            moved = transfer.moved
            self.waitUntil(lambda moved=moved: transfer.moved > moved + 4e6, "it goes on", 90)
            leader = self.leader(topic)
            leader.kill()
            moved = transfer.moved
            self.waitUntil(lambda moved=moved: transfer.moved > moved + 4e6, "another one leads", 90)
            leader.start()
        self.assertGoesOn(transfer)
        self.assertNeverLost(into, out)

    def leader(self, topic: str) -> Broker:
        """
        The broker that leads a topic.
        """
        asking = Producer({"bootstrap.servers": ",".join(f"127.0.0.1:{each.port}" for each in self.brokers)})
        known = asking.list_topics(topic, timeout=20).topics[topic]
        return self.brokers[known.partitions[0].leader - 1]


class ExampleTests(KafkaTestCase):
    """
    The examples.
    """

    def test_06(self) -> None:
        """
        They give the page of a private web server.
        """
        require("curl")
        if not EXAMPLES.exists():
            raise SkipTest("NO EXAMPLES HERE: they are in the source tree")
        port, folder = self.serveFolder()
        (folder / "page").write_text("hello from a private place")
        broker, listen = f"127.0.0.1:{self.broker.port}", freePort()
        outlet = self.start(sys.executable, str(EXAMPLES / "06_outlet.py"), broker, f"127.0.0.1:{port}", "blue")
        identifier = outlet.value("Identifier")
        inlet = self.start(sys.executable, str(EXAMPLES / "06_inlet.py"), identifier, str(listen), broker, "blue")
        inlet.value("Try")
        got = subprocess.run([*CURL, f"http://127.0.0.1:{listen}/page"], capture_output=True, text=True, check=True)
        self.assertEqual(got.stdout, "hello from a private place")
