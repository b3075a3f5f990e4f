"""
The transports, each with how a node listens and how it is reached: one row for
each, for tests of all of them.

Those that need more than a kernel are tested where C{OCKAM_TWISTED_ROADS} names one:
C{ble} needs C{trial --reactor=asyncio}, C{kafka} what C{tests/kafka/README.rst} says.
"""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.certificates import makeCertificate
from tests.scenarios.bluetooth import CONTROLLERS
from tests.scenarios.processes import freePort


def _connectTCP(place: Any) -> socket.socket:
    return socket.create_connection(("127.0.0.1", place), 10)


def _connectUDP(place: Any) -> socket.socket:
    connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connection.connect(("127.0.0.1", place))
    return connection


def _connectUNIX(place: Any) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(place)
    return connection


@frozen
class Kind:
    """
    One transport.

    @ivar listen: The endpoint string to listen at a place.
    @ivar to: The MultiAddr of a place.
    @ivar connect: Connects a plain socket to a place, for who says what he
        should not; L{None}: there are none.
    @ivar isLocal: Is a place a path?  Otherwise it is a port.
    @ivar isOrdered: Does everything arrive, in order?  Otherwise nobody is told
        whether somebody is there, either.
    @ivar isNamed: Is a place a name?
    @ivar pace: So many times slower than the others it is.
    @ivar isPatient: Is nobody told whether somebody is there, since he may come later?
    @ivar silence: May who says nothing stay?  There is no word that would have
        to come first.
    """

    listen: str
    to: str
    connect: Callable[[Any], socket.socket] | None = _connectTCP
    isLocal: bool = False
    silence: bool = False
    isOrdered: bool = True
    isNamed: bool = False
    pace: int = 1
    isPatient: bool = False


#: C{HERE} is the place, C{FOLDER} the folder of the test.
KINDS = {
    "tcp": Kind("tcp:HERE:interface=127.0.0.1", "/ip4/127.0.0.1/tcp/HERE"),
    "tls": Kind("tls:FOLDER:HERE:interface=127.0.0.1", "/dnsaddr/localhost/tcp/HERE/tls"),
    "ws": Kind("ws:HERE:interface=127.0.0.1", "/ip4/127.0.0.1/tcp/HERE/ws"),
    "wss": Kind("wss:FOLDER:HERE:interface=127.0.0.1", "/dnsaddr/localhost/tcp/HERE/wss"),
    "udp": Kind("udp:HERE:interface=127.0.0.1", "/ip4/127.0.0.1/udp/HERE", _connectUDP, silence=True, isOrdered=False),
    "quic": Kind("quic:HERE:interface=127.0.0.1", "/ip4/127.0.0.1/udp/HERE/quic", _connectUDP, silence=True),
    "uds": Kind("uds:HERE", "/unix/HERE", _connectUNIX, True, True),
}

#: C{ADAPTER} is a controller, or the port of a broker.
EXTRAS = {
    "ble": Kind("ble:HERE:adapter=ADAPTER", "/ble/HERE", None, isNamed=True, silence=True, pace=100),
    "kafka": Kind(
        "kafka:127.0.0.1:ADAPTER:HERE",
        "/ip4/127.0.0.1/tcp/ADAPTER/kafka/HERE",
        None,
        isNamed=True,
        silence=True,
        isPatient=True,
    ),
}

#: The one that is asked for, the pairs that are to be tested, and the transports that are.
EXTRA = os.environ.get("OCKAM_TWISTED_ROADS", "")
if EXTRA:
    KINDS[EXTRA] = EXTRAS[EXTRA]
PAIRS = [f"{one} {other}" for one, other in itertools.product(KINDS, repeat=2) if EXTRA in (one, other) or not EXTRA]
EACH = [EXTRA] if EXTRA else list(KINDS)


@cache
def _startBroker() -> str:
    """
    A broker of Apache Kafka, for all tests of this process.

    @return: Its port.
    """
    # It needs a library that not everybody has.
    from tests.kafka.brokers import prepare

    folder = Path(tempfile.mkdtemp(prefix="ockam-twisted-test-"))
    port, behind, named, controller = (freePort() for _ in range(4))
    command = prepare(folder / "broker", "127.0.0.1", port, behind, behind, named, [controller])
    log = folder / "broker.log"
    with log.open("wb") as out:
        program = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)

    def end() -> None:
        program.kill()
        program.wait()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    deadline = time.monotonic() + 60
    while "Kafka Server started" not in log.read_text("utf-8", "replace"):
        if time.monotonic() > deadline or program.poll() is not None:
            raise AssertionError(f"the broker does not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)
    return str(port)


class Places:
    """
    Makes places of a test, and what belongs to them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        makeCertificate(folder, "localhost")
        os.environ["SSL_CERT_FILE"] = str(folder / "localhost.pem")
        self._count = 0
        self._controllers: subprocess.Popen[str] | None = None
        self._adapter = ""
        if EXTRA == "ble":
            self._startControllers()
        elif EXTRA == "kafka":
            self._adapter = _startBroker()

    def _startControllers(self) -> None:
        """
        Bluetooth controllers: one for who listens, the others for who dials.
        """
        ports = [str(freePort()) for _ in range(4)]
        program = self._controllers = subprocess.Popen(
            [sys.executable, CONTROLLERS, *ports], stdout=subprocess.PIPE, text=True
        )
        assert program.stdout is not None
        program.stdout.readline()
        self._adapter, *others = (f"tcp-client:127.0.0.1:{port}" for port in ports)
        # Two of them have one link at most.
        self._others = itertools.cycle(others)

    def close(self) -> None:
        """
        Trust whom others trust.
        """
        del os.environ["SSL_CERT_FILE"]
        if self._controllers is not None:
            os.environ.pop("OCKAM_TWISTED_BLE", None)
            self._controllers.kill()
            self._controllers.communicate()

    def place(self, kind: str) -> Any:
        """
        A new place.
        """
        self._count += 1
        if KINDS[kind].isNamed:
            return f"place-{os.path.basename(self._folder)}-{self._count}"[-20:]
        return f"{self._folder}/{self._count}.sock" if KINDS[kind].isLocal else freePort()

    def listen(self, kind: str, place: Any) -> str:
        """
        The endpoint string to listen there.
        """
        return (
            KINDS[kind]
            .listen.replace("HERE", str(place))
            .replace("FOLDER", str(self._folder))
            .replace("ADAPTER", self._adapter.replace(":", "\\:"))
        )

    def to(self, kind: str, place: Any) -> str:
        """
        The MultiAddr to get there; to be used at once.
        """
        if kind == "ble":
            os.environ["OCKAM_TWISTED_BLE"] = next(self._others)
        return KINDS[kind].to.replace("HERE", str(place).replace("/", "%2F")).replace("ADAPTER", self._adapter)
