"""
A broker of Apache Kafka in KRaft mode, as a process, from the jars that
C{build.sh} has fetched.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from confluent_kafka import Consumer, TopicPartition
from twisted.trial.unittest import SkipTest

from tests.interop.peers import Target
from tests.kafka.gate import Gate
from tests.scenarios.processes import PATIENCE, Program, ScenarioTestCase, freePort
from tests.scenarios.transfers import Transfer, Transfers

#: Names the folder that C{build.sh} has made; see README.rst.
VARIABLE = "OCKAM_TWISTED_BROKER"

#: Seconds that a broker has to start: much longer than it takes on a machine that has nothing else to do.
START = 180.0

_PROPERTIES = """
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
controller.listener.names=CONTROLLER
listeners=PLAIN://{host}:{port},GATED://127.0.0.1:{behind},NAMED://127.0.0.1:{named},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAIN://{host}:{port},GATED://127.0.0.1:{gate},NAMED://127.0.0.1:{named}
inter.broker.listener.name=PLAIN
listener.security.protocol.map=PLAIN:PLAINTEXT,GATED:PLAINTEXT,NAMED:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT
listener.name.named.sasl.enabled.mechanisms=PLAIN
listener.name.named.plain.sasl.jaas.config={login} required user_alice="a secret";
log.dirs={folder}/data
default.replication.factor={replicas}
min.insync.replicas={least}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
"""

#: All brokers of one test are of this one cluster.
_CLUSTER = "b2NrYW1fdHdpc3RlZF90ZQ"

_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


def jars() -> str:
    """
    The class path of a broker; skips the test, loudly, where there is none.
    """
    folder = os.environ.get(VARIABLE)
    if not folder:
        raise SkipTest(f"NO BROKER: {VARIABLE} is not set, see tests/kafka/README.rst")
    if shutil.which("java") is None:
        raise SkipTest("NOT INSTALLED: java")
    if not list((Path(folder) / "jars").glob("kafka_*.jar")):
        raise SkipTest(f"NO BROKER: there are no jars in {folder}, see tests/kafka/README.rst")
    return f"{folder}/jars/*"


def prepare(
    folder: Path, host: str, port: int, behind: int, gate: int, named: int, controllers: Sequence[int], node: int = 1
) -> list[str]:
    """
    Make what a broker needs.

    @param folder: Where, to be made.
    @param host: Where it listens, at C{port}; and on this machine at C{behind}, where
        it says that it is at C{gate}, and at C{named}, for C{alice} with her password.
    @param controllers: The ports of those of its cluster, each of which is a broker, too.
    @param node: Which of them it is, from 1.
    @return: What starts it.
    """
    java = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", jars()]
    folder.mkdir()
    properties = folder / "server.properties"
    properties.write_text(
        _PROPERTIES.format(
            host=host,
            port=port,
            behind=behind,
            gate=gate,
            named=named,
            node=node,
            controller=controllers[node - 1],
            voters=",".join(f"{number}@127.0.0.1:{each}" for number, each in enumerate(controllers, 1)),
            replicas=len(controllers),
            least=len(controllers) // 2 + 1,
            folder=folder,
            login=_LOGIN,
        )
    )
    subprocess.run(
        [*java, "kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(properties)],
        check=True,
        capture_output=True,
        timeout=START,
    )
    return [*java, "kafka.Kafka", str(properties)]


def waitUntilThere(program: Program) -> None:
    """
    Wait until a broker answers.
    """
    deadline = time.monotonic() + START
    while "Kafka Server started" not in program.text():
        if time.monotonic() > deadline or program.process.poll() is not None:
            raise AssertionError(f"no broker:\n{program.text()[-3000:]}")
        time.sleep(0.1)


class Broker:
    """
    A broker, which keeps what it has over restarts.

    @ivar port: Where it listens.
    @ivar gate: Where it can be reached, too, unless that is shut.
    @ivar named: The port for who says who he is: C{alice}, with C{a secret}.
    """

    def __init__(self, case: KafkaTestCase, controllers: Sequence[int] = (), node: int = 1) -> None:
        """
        @param controllers: See L{prepare}; none: it is alone.
        """
        self._case = case
        self.port, behind, self.named = freePort(), freePort(), freePort()
        self.gate = Gate()
        case.addCleanup(self.gate.close)
        self.gate.begin(behind)
        self._command = prepare(
            case.folder / f"broker{node}",
            "127.0.0.1",
            self.port,
            behind,
            self.gate.port,
            self.named,
            controllers or (freePort(),),
            node,
        )
        self._program: Program | None = None

    def start(self) -> None:
        """
        Start it, and wait until it answers.
        """
        self.begin()
        self.waitUntilThere()

    def begin(self) -> None:
        """
        Start it.
        """
        self._program = self._case.start(*self._command)

    def waitUntilThere(self) -> None:
        """
        Wait until it answers.
        """
        assert self._program is not None
        waitUntilThere(self._program)

    def signal(self, number: int) -> None:
        """
        Send it a signal.
        """
        assert self._program is not None
        self._program.process.send_signal(number)

    def kill(self) -> None:
        """
        It dies.
        """
        assert self._program is not None
        self.signal(signal.SIGKILL)
        self._program.process.wait()

    def stop(self) -> None:
        """
        It is told to end.
        """
        assert self._program is not None
        self.signal(signal.SIGTERM)
        self._program.process.wait(PATIENCE)

    def everything(self) -> dict[str, list[bytes]]:
        """
        All that it has: the keys, values and headers of the records of each topic.
        """
        reader = Consumer(
            {"bootstrap.servers": f"127.0.0.1:{self.port}", "group.id": "spy", "enable.auto.commit": False}
        )
        found: dict[str, list[bytes]] = {}
        try:
            for name, topic in reader.list_topics(timeout=PATIENCE).topics.items():
                found[name] = []
                for partition in topic.partitions:
                    at = TopicPartition(name, partition)
                    low, high = reader.get_watermark_offsets(at, timeout=PATIENCE)
                    reader.assign([TopicPartition(name, partition, low)])
                    deadline = time.monotonic() + PATIENCE
                    while reader.position([at])[0].offset < high and low < high:
                        if time.monotonic() > deadline:
                            raise AssertionError(f"{name} cannot be read")
                        for record in reader.consume(500, 0.2):
                            for said in (record.key(), record.value(), record.headers()):
                                found[name].append(said if isinstance(said, bytes) else repr(said).encode())
        finally:
            reader.close()
        return found


class KafkaTestCase(ScenarioTestCase):
    """
    Tests with a broker, or several.

    @ivar howMany: How many, of one cluster.
    """

    howMany = 1

    def setUp(self) -> None:
        """
        Brokers.
        """
        super().setUp()
        jars()
        controllers = [freePort() for _ in range(self.howMany)]
        self.brokers = [Broker(self, controllers, node) for node in range(1, self.howMany + 1)]
        self.broker = self.brokers[0]
        for each in self.brokers:
            each.begin()
        for each in self.brokers:
            each.waitUntilThere()

    def _checkLogs(self) -> None:
        # The broker may say what it wants.
        for log in self.folder.glob("*.log"):
            text = log.read_text("utf-8", "replace")
            if "org.apache.kafka" not in text and not text.startswith("Serving HTTP"):
                self.assertNotIn("Traceback", text)

    def outlet(self, stream: str, target: int | str, state: str = "outlet", at: int = 0) -> Program:
        """
        An outlet that listens to a stream, for the inlet of this test.

        @param at: Where it finds the broker, if that is somewhere else.
        """
        out = self.twist(
            "ockam-outlet", "--target", f"127.0.0.1:{target}", "--listen",
            f"kafka:127.0.0.1:{at or self.broker.port}:{stream}", "--authorized", self.identity("inlet"), state=state,
        )  # fmt: skip
        out.value("Identifier")
        return out

    def inlet(self, stream: str, outlets: tuple[str, ...] = ("outlet",), at: int = 0) -> tuple[int, Program]:
        """
        An inlet.

        @param outlets: The states of the outlets that it trusts.
        @param at: Where it finds the broker, if that is somewhere else.
        @return: Its port, and itself.
        """
        port = freePort()
        into = self.twist(
            "ockam-inlet", "--listen", str(port), *(f"--authorized={self.identity(each)}" for each in outlets), "--to",
            f"/ip4/127.0.0.1/tcp/{at or self.broker.port}/kafka/{stream}/secure/api/service/outlet", state="inlet",
        )  # fmt: skip
        into.value("Identifier")
        self.waitForPort(port)
        return port, into

    def portal(self, stream: str = "blue", at: int = 0) -> tuple[Target, int, Program, Program]:  # type: ignore[override]
        """
        A portal through a stream.

        @param at: Where the inlet finds the broker, if that is somewhere else.
        @return: The target, the inlet's port, inlet and outlet.
        """
        target = Target()
        self.addCleanup(target.close)
        out = self.outlet(stream, target.port)
        port, into = self.inlet(stream, at=at)
        return target, port, into, out

    def transfers(self) -> Transfers:
        """
        A target, and transfers with it.
        """
        transfers = Transfers(_Here())  # type: ignore[arg-type]
        self.addCleanup(transfers.close)
        return transfers

    def streamed(self, at: int = 0) -> tuple[Transfers, int, Program, Program]:
        """
        A portal to such a target.
        """
        transfers = self.transfers()
        out = self.outlet("blue", transfers.port)
        port, into = self.inlet("blue", at=at)
        return transfers, port, into, out

    def waitUntil(self, condition: Callable[[], object], what: str, patience: float = PATIENCE) -> None:
        """
        Wait until C{condition()} holds.
        """
        deadline = time.monotonic() + patience
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"in vain: {what}")
            time.sleep(0.05)

    def assertGoesOn(self, transfer: Transfer) -> None:
        """
        Bytes go both ways, and the end comes.
        """
        up, down = transfer.up.received, transfer.down.received
        self.waitUntil(
            lambda: transfer.errors or (transfer.up.received > up + 1e6 and transfer.down.received > down + 1e6),
            "it goes on",
            90,
        )
        transfer.enough.set()
        self.waitUntil(lambda: transfer.isOver, "both ends have finished")
        self.assertEqual(transfer.errors, [])

    def assertNeverLost(self, *programs: Program) -> None:
        """
        A way was up all the time, once it was.
        """
        for program in programs:
            text = program.text()
            up = max(text.find("session-up"), 0)
            for event in ("session-waiting", "connection-broken", "session-down"):
                self.assertNotIn(event, text[up:])


class _Here:
    """
    This machine, as transfers want it.
    """

    def listen(self) -> socket.socket:
        """
        Listen at some port.
        """
        return socket.create_server(("127.0.0.1", 0))
