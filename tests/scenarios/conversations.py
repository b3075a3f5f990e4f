"""
Conversations with Rust nodes that can be held again without them.

A node of ours takes part with randomness from a seed and a clock that stands
still, so that what it says follows from what it hears: given the recorded
bytes of the Rust node it must say, byte for byte, what it said then.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from ockam_twisted.channels.party import Party
from ockam_twisted.identity.creation import loadOrCreate
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.interfaces import ILocalSide, ITarget
from ockam_twisted.node import Node
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.services.requests import requestRaw

#: More than one key is used for.
MESSAGES = 40

Chunks = list[list[str]]


class Recorder(ProtocolWrapper):
    """
    Writes down what comes and goes over a connection.
    """

    def dataReceived(self, data: bytes) -> None:
        """
        Bytes of the Rust node.
        """
        self.factory.chunks.append(["in", data.hex()])
        super().dataReceived(data)

    def write(self, data: bytes) -> None:
        """
        Bytes of ours.
        """
        self.factory.chunks.append(["out", data.hex()])
        super().write(data)


@implementer(IStreamServerEndpoint, IStreamClientEndpoint)
class RecordingEndpoint:
    """
    An endpoint whose connections are written down.
    """

    def __init__(self, endpoint: Any, chunks: Chunks) -> None:
        self._endpoint = endpoint
        self._chunks = chunks

    def _wrap(self, factory: Factory) -> WrappingFactory:
        wrapping = WrappingFactory(factory)
        wrapping.protocol = Recorder
        wrapping.noisy = False
        wrapping.chunks = self._chunks  # type: ignore[attr-defined]
        return wrapping

    def listen(self, protocolFactory: Factory) -> Deferred[Any]:
        """
        See C{IStreamServerEndpoint}.
        """
        return self._endpoint.listen(self._wrap(protocolFactory))

    def connect(self, protocolFactory: Factory) -> Deferred[Any]:
        """
        See C{IStreamClientEndpoint}.
        """
        return self._endpoint.connect(self._wrap(protocolFactory)).addCallback(lambda made: made.wrappedProtocol)


@implementer(IStreamServerEndpoint, IStreamClientEndpoint)
class ReplayEndpoint:
    """
    An endpoint with one connection, to nobody.
    """

    def __init__(self) -> None:
        self.transport = StringTransport()
        self.protocol: Any = None

    def listen(self, protocolFactory: Factory) -> Deferred[Any]:
        """
        See C{IStreamServerEndpoint}: a client is there at once.
        """
        self._make(protocolFactory)
        return Deferred()

    def connect(self, protocolFactory: Factory) -> Deferred[Any]:
        """
        See C{IStreamClientEndpoint}.
        """
        return succeed(self._make(protocolFactory))

    def _make(self, factory: Factory) -> Any:
        self.protocol = factory.buildProtocol(self.transport.getPeer())
        self.protocol.makeConnection(self.transport)
        return self.protocol


@implementer(ILocalSide)
class _EchoLocal:
    """
    The near end of a stream at our outlet: what comes out goes in again.
    """

    lost = full = losing = False
    queued = sent = 0
    label = "echo"
    stream: Any = None

    def __init__(self) -> None:
        self.output: Any = self

    def write(self, pieces: Any, size: int) -> None:
        self.stream.send(b"".join(pieces))

    def streamOpened(self) -> None:
        pass

    def streamFinished(self) -> None:
        self.finished = True

    def streamEnded(self, reason: str, clean: bool) -> None:
        pass


@implementer(ITarget)
class EchoTarget:
    """
    A target that says what it hears, at once.
    """

    label = "echo"

    def local(self) -> Any:
        """
        See L{ITarget.local}.
        """
        return _EchoLocal()

    def connect(self, local: Any) -> Deferred[Any]:
        """
        See L{ITarget.connect}.
        """
        return succeed(local)


def seed(case: SynchronousTestCase) -> None:
    """
    Let randomness begin anew; keys and addresses each have their own, so that
    one more of these does not change those.
    """
    sources: dict[int, random.Random] = {}

    def urandom(size: int) -> bytes:
        return sources.setdefault(size, random.Random(f"conversation {size}")).randbytes(size)

    case.patch(os, "urandom", urandom)


async def makeNode(reactor: Any, now: int) -> Node:
    """
    Our node, at a time that stands still.
    """
    node = Node(reactor)
    identity, purposeKey = await loadOrCreate(node.vault, node.store, now)
    node.party = Party(node.vault, node.store, identity, purposeKey, lambda: now)
    return node


Part = Callable[[Node, Any], Coroutine[Any, Any, Any]]


async def answerChannel(node: Node, endpoint: Any) -> Any:
    """
    A Rust initiator uses our C{echo} over a channel.
    """
    node.createSecureChannelListener(TrustEveryone())
    node.startService()
    return await node.transport.listen(endpoint)


async def makeChannel(node: Node, endpoint: Any) -> Any:
    """
    We use the C{echo} of a Rust listener over a channel.
    """
    node.startService()
    hop = await node.transport.connect(endpoint)
    channel = await node.createSecureChannel([hop.address, "api"], trust=TrustEveryone())
    for number in range(MESSAGES):
        with node.router.turn:
            route = Route((channel.encryptor, Address.local("echo")))
            reply = requestRaw(node.router, node.reactor, route, bytes([number]) * number, 20)
        assert await reply == bytes([number]) * number
    channel.close()
    return channel


async def serveStream(node: Node, endpoint: Any) -> Any:
    """
    A Rust inlet has a stream to our outlet.
    """
    listener = node.createSecureChannelListener(TrustEveryone())
    node.createOutlet("outlet", EchoTarget(), (listener.flowId,))
    node.startService()
    return await node.transport.listen(endpoint)


async def giveName(node: Node, endpoint: Any) -> Any:
    """
    A Rust outlet registers at our relay.
    """
    node.createSecureChannelListener(TrustEveryone())
    node.createRelayService()
    node.startService()
    return await node.transport.listen(endpoint)


#: What there is to be recorded.
PARTS: dict[str, Part] = {
    "initiator": answerChannel,
    "listener": makeChannel,
    "inlet": serveStream,
    "registration": giveName,
}


def replay(case: SynchronousTestCase, conversation: dict[str, Any]) -> None:
    """
    Hold a conversation again, and compare what we say.
    """
    clock = Clock()
    seed(case)
    node = case.successResultOf(Deferred.fromCoroutine(makeNode(clock, conversation["time"])))
    seed(case)
    endpoint = ReplayEndpoint()
    taking = Deferred.fromCoroutine(PARTS[conversation["part"]](node, endpoint))
    said = 0
    for number, (direction, text) in enumerate(conversation["chunks"]):
        data = bytes.fromhex(text)
        if direction == "in":
            endpoint.protocol.dataReceived(data)
            continue
        heard = endpoint.transport.value()[said : said + len(data)]
        case.assertEqual(heard.hex(), text, f"what we say at {number}")
        said += len(data)
    case.assertEqual(endpoint.transport.value()[said:], b"")
    if conversation["part"] == "listener":
        case.successResultOf(taking)
    taking.addErrback(lambda failure: None)
    node.stopService()
    clock.advance(1000)
