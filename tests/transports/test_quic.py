"""
Tests for L{ockam_twisted.transports.quic} and
L{ockam_twisted.transports.quicconnection}: two ends in memory, over a road that
loses, repeats and mixes up datagrams.
"""

from __future__ import annotations

import random
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError, TimeoutError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.transports import quic, quicconnection, quicsettings
from ockam_twisted.transports.quic import GUESTS, PATIENCE
from ockam_twisted.transports.quicsettings import IDLE, WINDOW

SERVER = ("192.0.2.1", 4000)


class Port:
    """
    A UDP port in memory.
    """

    def __init__(self, network: Network, protocol: Any, at: tuple[str, int]) -> None:
        self.network, self.protocol, self.at = network, protocol, at
        network.ports[at] = self
        protocol.makeConnection(self)

    def write(self, data: bytes, addr: Any) -> None:
        self.network.send(self.at, addr, data)

    def getHost(self) -> Any:
        return self.at

    def stopListening(self) -> None:
        if self.network.ports.pop(self.at, None) is not None:
            self.protocol.doStop()


class Network(Clock):
    """
    A reactor with UDP, and a road of a tenth of a second.

    @ivar loss: What part of all datagrams is lost.
    @ivar repeats: What part comes twice.
    @ivar jitter: By how much they are late, at most, seconds.
    """

    loss = repeats = jitter = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.ports: dict[Any, Port] = {}
        self.count = self.bytes = 0
        self.chance = random.Random(7)

    def listenUDP(self, port: int, protocol: Any, interface: str = "") -> Port:
        """
        See C{IReactorUDP}.
        """
        return Port(self, protocol, ("192.0.2.1", port) if port else ("192.0.2.2", 50_000 + len(self.ports)))

    def send(self, source: Any, to: Any, data: bytes) -> None:
        """
        A datagram is on the road.
        """
        self.count += 1
        self.bytes += len(data)
        for _ in range(1 + (self.chance.random() < self.repeats)):
            if self.chance.random() >= self.loss:
                self.callLater(0.05 + self.chance.random() * self.jitter, self._arrive, source, to, data)

    def _arrive(self, source: Any, to: Any, data: bytes) -> None:
        if to in self.ports:
            self.ports[to].protocol.datagramReceived(data, source)

    def wait(self, seconds: float, condition: Any = lambda: False) -> None:
        """
        Let time pass until something is so.
        """
        until = self.seconds() + seconds
        while self.seconds() < until and not condition():
            self.advance(0.01)


class End(Protocol):
    """
    One end of the stream.
    """

    def __init__(self) -> None:
        self.got = bytearray()
        self.ending = ""
        self.isPaused = False

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.registerProducer(self, True)

    def pauseProducing(self) -> None:
        self.isPaused = True

    def resumeProducing(self) -> None:
        self.isPaused = False

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Any = None) -> None:
        self.ending = reason.type.__name__


class QUICTests(SynchronousTestCase):
    """
    Somebody who listens, and others.
    """

    def setUp(self) -> None:
        """
        It listens.
        """
        self.network = Network()
        self.ends: list[End] = []
        self.limit = 1000
        self.port = self.successResultOf(quic.serverEndpoint(self.network, "quic", "4000").listen(self.factory()))
        self.server = self.network.ports[SERVER].protocol

    def factory(self) -> Any:
        """
        Makes ends of those who come.
        """
        test = self

        class Ends(Factory):
            def buildProtocol(self, addr: Any) -> End | None:
                if len(test.ends) >= test.limit:
                    return None
                test.ends.append(End())
                return test.ends[-1]

        return Ends()

    def dial(self) -> Any:
        """
        Somebody connects.
        """
        endpoint = quic.clientEndpoint(self.network, quic.components("quic", "192.0.2.1:4000"))
        return endpoint.connect(Factory.forProtocol(End))

    def pair(self) -> tuple[Any, End]:
        """
        Two ends that are connected, and know it.
        """
        connecting = self.dial()
        self.network.wait(20, lambda: connecting.called)
        client = self.successResultOf(connecting)
        client.transport.write(b"hello")
        self.network.wait(20, lambda: bool(self.ends and self.ends[-1].got))
        end = self.ends[-1]
        del end.got[:]
        return client, end

    def exact(self, size: int = 200_000) -> None:
        """
        So much goes each way at once, and arrives as it was sent.
        """
        client, end = self.pair()
        up, down = (random.Random(seed).randbytes(size) for seed in (1, 2))
        for start in range(0, size, 10_000):
            client.transport.write(up[start : start + 10_000])
            end.transport.write(down[start : start + 10_000])  # type: ignore[union-attr]
        self.network.wait(300, lambda: len(end.got) == size and len(client.got) == size)
        self.assertTrue(end.got == up and client.got == down, (len(end.got), len(client.got)))
        client.transport.loseConnection()
        self.network.wait(60, lambda: bool(client.ending and end.ending))
        self.assertEqual((client.ending, end.ending), ("ConnectionDone", "ConnectionDone"))

    def finish(self) -> None:
        """
        Nothing is left of those who have come.
        """
        self.network.wait(IDLE)
        self.assertEqual((self.server.connections, dict(self.server._guests)), ({}, {}))
        self.port.stopListening()
        self.assertEqual([call for call in self.network.getDelayedCalls() if call.active()], [])
        self.assertEqual(self.network.ports, {})

    def test_exact(self) -> None:
        """
        Over a road that loses nothing.
        """
        self.exact()
        self.finish()

    def test_lossy(self) -> None:
        """
        Over one that loses a twentieth, repeats as much, and mixes up the
        rest.
        """
        self.network.loss = self.network.repeats = 0.05
        self.network.jitter = 0.03
        self.exact()
        self.finish()

    def test_lastWords(self) -> None:
        """
        What was written before the end arrives, although some of it is lost.
        """
        client, end = self.pair()
        self.network.loss = 0.2
        client.transport.write(b"x" * 50_000)
        client.transport.loseConnection()
        self.network.wait(60, lambda: bool(end.ending))
        self.assertEqual((len(end.got), end.ending), (50_000, "ConnectionDone"))

    def test_pressure(self) -> None:
        """
        Who does not read gets no more than a window, and who writes is told
        to wait; when it reads again everything comes.
        """
        client, end = self.pair()
        transport: Any = end.transport
        transport.pauseProducing()
        written = 0
        while not client.isPaused:
            client.transport.write(b"x" * 100_000)
            written += 100_000
            self.assertLess(written, 3 * WINDOW)
        self.network.wait(20)
        self.assertEqual(len(end.got), 0)
        self.assertLessEqual(sum(map(len, transport._held)), WINDOW)
        transport.resumeProducing()
        self.network.wait(120, lambda: len(end.got) == written)
        self.assertEqual(len(end.got), written)
        self.assertFalse(client.isPaused)

    def test_grants(self) -> None:
        """
        Who grants whatever one likes to send, acknowledges all that comes, and lets QUIC send
        no more, is kept no more than a window for, and who writes is told to wait; once QUIC
        may, everything comes, without another grant.
        """
        window = 256 * 1024
        for module in (quicconnection, quicsettings):
            self.patch(module, "WINDOW", window)
        client, end = self.pair()
        hostile, transport = client.transport, end.transport
        stopped = [
            self.patch(hostile._quic, name, lambda *_, **__: None)
            for name in ("_write_stream_limits", "_write_connection_limits")
        ]
        hostile._granted = 2**62
        hostile._quic.send_stream_data(4, hostile._granted.to_bytes(8, "big"))
        hostile.flush()
        self.network.wait(1)
        written = 0
        while not end.isPaused:
            transport.write(b"x" * 50_000)  # type: ignore[union-attr]
            written += 50_000
            self.assertLess(written, 5 * window)
            self.network.wait(0.2)
        self.network.wait(20)
        self.assertTrue(end.isPaused)
        self.assertLessEqual(len(transport._quic._streams[0].sender._buffer), window)  # type: ignore[union-attr]
        self.assertLessEqual(len(client.got), window)
        for each in stopped:
            each.restore()
        self.network.wait(60, lambda: len(client.got) == written)
        self.assertEqual((len(client.got), end.isPaused), (written, False))

    def test_vanished(self) -> None:
        """
        Who is gone without a word is noticed.
        """
        client, end = self.pair()
        self.network.loss = 1.0
        self.network.wait(2 * IDLE)
        self.assertEqual((client.ending, end.ending), ("ConnectionLost", "ConnectionLost"))
        self.finish()

    def test_silence(self) -> None:
        """
        Who has nothing to say stays connected.
        """
        client, end = self.pair()
        self.network.wait(3 * IDLE)
        self.assertEqual((client.ending, end.ending), ("", ""))

    def test_moved(self) -> None:
        """
        A client whose address is another one goes on.
        """
        client, end = self.pair()
        [at] = [at for at in self.network.ports if at != SERVER]
        port = self.network.ports.pop(at)
        port.at = ("198.51.100.1", 1)
        self.network.ports[port.at] = port
        client.transport.write(b"from elsewhere")
        self.network.wait(10, lambda: len(end.got) == 14)
        end.transport.write(b"there")  # type: ignore[union-attr]
        self.network.wait(10, lambda: len(client.got) == 5)
        self.assertEqual((bytes(end.got), bytes(client.got)), (b"from elsewhere", b"there"))

    def test_retired(self) -> None:
        """
        Who retires ids on and on gets new ones, and nothing is kept of the old ones; it goes
        on to be heard.
        """
        client, end = self.pair()
        self.network.wait(1)
        before = set(self.server.connections)
        hostile = client.transport._quic
        for _ in range(50):
            hostile._retire_connection_ids.extend(each.sequence_number for each in hostile._peer_cid_available)
            hostile._peer_cid_available.clear()
            client.transport.flush()
            self.network.wait(0.15)
        self.network.wait(1)
        after = set(self.server.connections)
        self.assertLess(len(before & after), 4)
        self.assertEqual(len(after), len(before))
        client.transport.write(b"still")
        self.network.wait(5, lambda: bool(end.got))
        self.assertEqual(bytes(end.got), b"still")
        client.transport.loseConnection()
        self.finish()

    def test_abort(self) -> None:
        """
        An end that is aborted is at once over at one end, and soon at the
        other.
        """
        client, end = self.pair()
        client.transport.abortConnection()
        self.assertEqual(client.ending, "ConnectionLost")
        self.network.wait(5)
        self.assertEqual(end.ending, "ConnectionLost")
        self.finish()

    def test_otherStreams(self) -> None:
        """
        Who opens other streams, of whatever kind, is let go; others notice
        nothing, and nothing is raised.
        """
        for number in (2, 8):
            good, goodEnd = self.pair()
            client, end = self.pair()
            client.transport._quic.send_stream_data(number, b"x")
            client.transport.flush()
            self.network.wait(5, lambda end=end: bool(end.ending))
            self.assertEqual(end.ending, "ConnectionLost")
            good.transport.write(b"still")
            self.network.wait(5, lambda goodEnd=goodEnd: bool(goodEnd.got))
            self.assertEqual(bytes(goodEnd.got), b"still")

    def test_stopped(self) -> None:
        """
        Who wants nothing more of a stream, and goes on with the other one, is let go at once:
        whoever writes to him, or reads from him, notices nothing else.
        """
        for number in (0, 4):
            client, end = self.pair()
            transport: Any = end.transport
            client.transport._happened = lambda event: None
            client.transport._quic.stop_stream(number, 1)
            client.transport.flush()
            self.network.wait(0.07)
            transport.write(b"x")
            transport.resumeProducing()
            self.assertEqual(end.ending, "ConnectionLost")

    def test_unprepared(self) -> None:
        """
        What the library is not prepared for ends one connection, and is not
        raised.
        """
        client, end = self.pair()
        transport: Any = end.transport

        def fail(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError

        transport._quic.receive_datagram = fail
        client.transport.write(b"x")
        self.network.wait(1)
        self.assertEqual(end.ending, "ConnectionLost")

    def test_guests(self) -> None:
        """
        From one address only so many may be connecting at once; in time they
        are let go.
        """
        connecting = [self.dial() for _ in range(GUESTS + 8)]
        for at, port in self.network.ports.items():
            if at != SERVER:
                # They finish the handshake, and say nothing.
                port.protocol._factory.buildProtocol = lambda addr: End()
                port.protocol.connection.begin = lambda hop: None
        self.network.wait(3)
        self.assertEqual(self.server._guests.total(), GUESTS)
        self.network.wait(PATIENCE)
        self.assertEqual(self.server._guests.total(), 0)
        for each in connecting:
            each.addErrback(lambda failure: None)

    def test_refused(self) -> None:
        """
        Who may not come is let go.
        """
        self.limit = 0
        connecting = self.dial()
        self.network.wait(10, lambda: connecting.called)
        client = self.successResultOf(connecting)
        client.transport.write(b"x")
        self.network.wait(10)
        self.assertTrue(client.ending)
        self.finish()

    def test_nobody(self) -> None:
        """
        Where nobody answers that is said in time; and one can give up.
        """
        self.network.loss = 1.0
        connecting = self.dial()
        self.network.wait(PATIENCE + 1)
        self.failureResultOf(connecting, TimeoutError, ConnectError)
        connecting = self.dial()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.finish()

    def test_garbage(self) -> None:
        """
        Whatever a stranger sends, nothing is kept, and he is sent no more than he
        has sent; those who are there notice nothing.
        """
        client, end = self.pair()
        before = len(self.server.connections)
        chance = random.Random(3)
        version = b"\xc3\x00\x00\x00\x01\x08"
        for number in range(300):
            size = chance.choice((0, 1, 5, 20, 1200, 1400))
            data = chance.randbytes(size)
            if number % 2 and size >= 1200:
                data = version + data[6:]
            sent = self.network.bytes
            self.network.ports[SERVER].protocol.datagramReceived(data, ("203.0.113.5", 1000 + number))
            self.assertLessEqual(self.network.bytes - sent, max(len(data), 0))
        self.assertEqual(len(self.server.connections), before)
        client.transport.write(b"still")
        self.network.wait(5, lambda: bool(end.got))
        self.assertEqual(bytes(end.got), b"still")
        self.assertLessEqual(self.server._guests.total(), GUESTS)
