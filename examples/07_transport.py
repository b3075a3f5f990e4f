"""
A transport of one's own: netstrings over any stream.

A carrier that keeps messages needs a protocol that cuts them out of what comes,
and two endpoints that say what messages look like on it.
"""

import sys

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.protocol import Factory
from twisted.internet.task import react

from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.node import Node
from ockam_twisted.transports.carrier import CarrierProtocol
from ockam_twisted.wire.codecs import BARE

MAX_MESSAGE = 1024 * 1024


class NetstringProtocol(CarrierProtocol):
    def __init__(self, behind):
        self.behind = behind
        self.buffer = b""

    def connectionMade(self):
        super().connectionMade()
        self.behind.makeConnection(self)

    def dataReceived(self, data):
        self.buffer += data
        while not self._isEnding:
            size, colon, rest = self.buffer.partition(b":")
            # The peer is hostile: know what there is at most before it is there.
            if len(size) > 7 or not (size if colon else size or b"0").isdigit() or int(size or 0) > MAX_MESSAGE:
                self.abortConnection()
                return
            if not colon or len(rest) <= int(size):
                return
            message, self.buffer = rest[: int(size)], rest[int(size) + 1 :]
            self.behind.dataReceived(message)

    def write(self, data):
        if not self._isEnding:
            self.transport.write(b"%d:%s," % (len(data), data))


class NetstringFactory(Factory):
    def __init__(self, hops):
        self.hops = hops

    def buildProtocol(self, addr):
        hop = self.hops.buildProtocol(addr)
        return None if hop is None else NetstringProtocol(hop)


class NetstringEndpoint:
    codec = BARE

    def __init__(self, endpoint):
        self.endpoint = endpoint

    def connect(self, hops):
        return self.endpoint.connect(NetstringFactory(hops)).addCallback(lambda carrier: carrier.behind)

    def listen(self, hops):
        return self.endpoint.listen(NetstringFactory(hops))


async def serve(reactor, at):
    node = await Node.create(reactor)
    node.createSecureChannelListener(TrustEveryone())
    await node.listen(NetstringEndpoint(serverFromString(reactor, at)))
    print(f"Identifier: {node.identifier}", flush=True)
    await Deferred()


async def ask(reactor, at, identifier):
    node = await Node.create(reactor)
    road = await node.connect(NetstringEndpoint(clientFromString(reactor, at)))
    channel = await node.createSecureChannel([*road, "api"], authorized=[identifier])
    print(f"A secure channel with: {channel.peerIdentifier}", flush=True)


async def main(reactor, role="serve", at="tcp:4000", identifier=""):
    await (serve(reactor, at) if role == "serve" else ask(reactor, at, identifier))


react(lambda reactor, *args: Deferred.fromCoroutine(main(reactor, *args)), sys.argv[1:])
