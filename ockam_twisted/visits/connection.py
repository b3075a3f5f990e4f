"""
One stream to an outlet, from its beginning to its end.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamServerEndpoint

from ockam_twisted.portals.sole import Outcome, SoleClient, SoleFactory, serveOne
from ockam_twisted.visits.standard import StandardStreams
from ockam_twisted.visits.visit import Visit


async def connectStandard(reactor: Any, visit: Visit, streams: StandardStreams) -> tuple[Outcome, str]:
    """
    Connect standard input and output.

    @return: How it went, and why.
    """
    written: Deferred[str] = Deferred()

    def finished() -> None:
        # From a terminal nobody knows that there is nothing more to be said.
        if streams.isTyped:
            streams.finish()

    factory = SoleFactory(visit.addInlet(), "standard input and output", finished)
    with streams.far as far:
        # Which makes a descriptor of its own.
        reactor.adoptStreamConnection(far.fileno(), socket.AF_UNIX, factory)
    client = factory.client
    assert client is not None
    streams.start(lambda why: written.callback(why))
    written.addCallback(lambda why: _lose(client, why))
    outcome, reason = await client.over
    why = await written
    if why and outcome in (Outcome.DONE, Outcome.LOST):
        return Outcome.LOST, why
    return outcome, reason


def _lose(client: SoleClient, why: str) -> str:
    transport: Any = client.transport
    if why and transport is not None:
        # What cannot be written is not to be acknowledged any more.
        transport.abortConnection()
    return why


async def connectOne(visit: Visit, endpoint: IStreamServerEndpoint) -> tuple[Outcome, str]:
    """
    Connect the first client that comes.

    @return: How it went, and why.
    @raise CannotListenError: The port cannot be had.
    """
    inlet = visit.addInlet()
    over = serveOne(inlet)
    await inlet.listen(endpoint)
    return await over
