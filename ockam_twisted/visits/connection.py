"""
One stream to an outlet, from its beginning to its end.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamServerEndpoint

from ockam_twisted.portals.sole import Outcome, SoleFactory, serveOne
from ockam_twisted.visits.standard import StandardStreams
from ockam_twisted.visits.visit import Visit


async def connectStandard(reactor: Any, visit: Visit, streams: StandardStreams) -> tuple[Outcome, str]:
    """
    Connect standard input and output.

    @return: How it went, and why.
    """
    written: Deferred[None] = Deferred()
    failures: list[str] = []

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
    transport: Any = client.transport

    def failed(why: str) -> None:
        failures.append(why)
        # What cannot be written is not to be acknowledged any more, and what
        # cannot be read is no end.
        transport.abortConnection()

    def ended(why: str) -> None:
        if why:
            failed(why)
        written.callback(None)

    streams.start(ended, failed)
    outcome, reason = await client.over
    await written
    if failures and outcome in (Outcome.DONE, Outcome.LOST):
        return Outcome.LOST, failures[0]
    return outcome, reason


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
