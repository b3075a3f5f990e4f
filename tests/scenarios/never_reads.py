"""
A node that asks for much and, once it has all it needs for that, never reads
again: C{python never_reads.py FOLDER HOST:PORT ROUTE register|stream}.

With the identity in C{FOLDER} it connects to C{HOST:PORT}, and makes a secure
channel to C{ROUTE}, names joined by C{=>}.  There it registers the relay name
of its identity, or opens a stream to C{outlet}.  Then it says C{Reading: no}
and sends requests to the C{echo} at the far end of its channel, and bytes into
the stream, for ever.  When its connection is closed, it says C{Closed: WHY}.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall, react
from zope.interface import implementer

from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.interfaces import IWorker
from ockam_twisted.node import Node
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.storage.folder import StateFolder
from ockam_twisted.storage.sqlite import SQLiteStore
from ockam_twisted.wire.portal import PING, encodePortalPayload

BLOCK = bytes(32 * 1024)
#: Bytes that may wait here to be sent, so that this process does not grow.
WAITING = 1 << 20


@implementer(IWorker)
class Listener:
    """
    Where answers would arrive.
    """

    def __init__(self) -> None:
        self.heard: Deferred[LocalMessage] = Deferred()

    def messageReceived(self, message: LocalMessage) -> None:
        """
        The first one is of interest: it has the route to the stream.
        """
        if not self.heard.called:
            self.heard.callback(message)


async def main(reactor: Any, folder: str, at: str, road: str, register: str) -> None:
    """
    See the module.
    """
    state = StateFolder(folder)
    state.open()
    store = SQLiteStore(state.database, reactor)
    store.open()
    node = await Node.create(reactor, store)
    connection = await node.connect(f"tcp:{at}")
    [hop] = node.transport.hops
    channel = await node.createSecureChannel(
        Route((*connection, *(Address.local(name) for name in road.split("=>")))), trust=TrustEveryone()
    )
    listener, own = Listener(), Address.random()
    node.addWorker(own.value.decode(), listener, (channel.flowId,))

    def ask(route: Route, payload: bytes) -> None:
        node.router.route(LocalMessage(route, Route((own,)), payload), own)

    stream = None
    if register == "register":
        made = await node.createRelay((channel.encryptor,), str(node.identifier))
        print(f"Forwarding address: {made.address.value.decode()}", flush=True)
    else:
        ask(Route.of(channel.encryptor, "outlet"), PING)
        stream = (await listener.heard).return_route
    hop.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    hop.source.pauses.add("for ever")
    print("Reading: no", flush=True)
    echo = Route.of(channel.encryptor, "echo")

    def flood() -> None:
        while hop.output.queued < WAITING and not hop.output.lost:
            ask(echo, BLOCK)
            if stream is not None:
                ask(stream, encodePortalPayload(BLOCK))

    flooding = LoopingCall(flood)
    # Not now: this is called while something is being received, and nothing
    # leaves before that is done.
    flooding.start(0.01, now=False)
    print(f"Closed: {await hop.whenLost()}", flush=True)
    flooding.stop()
    await Deferred()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
