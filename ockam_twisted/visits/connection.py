"""
One stream to an outlet, from its beginning to its end.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamServerEndpoint

from ockam_twisted.portals.inlet import Inlet
from ockam_twisted.portals.sole import Outcome, SoleClient, SoleFactory, serveOne
from ockam_twisted.visits.standard import StandardStreams
from ockam_twisted.visits.visit import Visit

#: Seconds after which it is said that there is no stream yet.
NOTICE = 2.0


def noticeIfLate(inlet: Inlet, say: Callable[[str], object], client: SoleClient) -> None:
    """
    Say once why the stream of a client is not open yet, if that takes long.
    """

    if inlet.connectTimeout < 2 * NOTICE:
        # How it ends is told soon enough.
        return

    def look() -> None:
        if not client.wasOpened and not client.opening.isGivenUp:
            say(f"{inlet.way.why or 'the outlet has not answered yet'}; trying for up to {inlet.connectTimeout:g} s")

    def over(outcome: tuple[Outcome, str]) -> tuple[Outcome, str]:
        if looking.active():
            looking.cancel()
        return outcome

    looking = inlet.clock.callLater(NOTICE, look)
    client.over.addCallback(over)


async def connectStandard(
    reactor: Any, visit: Visit, streams: StandardStreams, say: Callable[[str], object]
) -> tuple[Outcome, str]:
    """
    Connect standard input and output.

    @param say: Told why, if there is no stream after L{NOTICE} seconds.
    @return: How it went, and why.
    """
    written: Deferred[None] = Deferred()
    failures: list[str] = []

    def finished() -> None:
        # From a terminal nobody knows that there is nothing more to be said.
        if streams.isTyped:
            streams.finish()

    inlet = visit.addInlet()
    factory = SoleFactory(inlet, "standard input and output", finished)
    with streams.far as far:
        # Which makes a descriptor of its own.
        reactor.adoptStreamConnection(far.fileno(), socket.AF_UNIX, factory)
    client = factory.client
    assert client is not None
    noticeIfLate(inlet, say, client)
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


async def connectOne(
    visit: Visit, endpoint: IStreamServerEndpoint, say: Callable[[str], object]
) -> tuple[Outcome, str]:
    """
    Connect the first client that comes.

    @param say: See L{connectStandard}.
    @return: How it went, and why.
    @raise CannotListenError: The port cannot be had.
    """
    inlet = visit.addInlet()
    over = serveOne(inlet, partial(noticeIfLate, inlet, say))
    await inlet.listen(endpoint)
    return await over
