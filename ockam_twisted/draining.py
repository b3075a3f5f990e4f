"""
The end of a node that is told to stop: nothing new begins, peers are told, and
what is there has a while to come to its end.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from ockam_twisted.portals.inlet import Inlet
from ockam_twisted.portals.outlet import Outlet
from ockam_twisted.relays.service import RelayService
from ockam_twisted.transports.service import TransportService

_log = Logger()

#: Seconds between two looks at whether it is over.
INTERVAL = 0.1


async def drain(
    clock: IReactorTime,
    timeout: float,
    portals: Sequence[Inlet | Outlet],
    relays: Sequence[RelayService],
    transport: TransportService,
) -> None:
    """
    Begin nothing new, and wait until nothing is left, but not for long.

    A relay gives up its port at once: who dials it from now on should find
    the one that comes after it, and who has a name moves on or goes on being
    reached.

    @param timeout: How long, seconds; 0: nobody is waited for.
    """

    def count() -> tuple[int, int]:
        return sum(len(each.streams) for each in portals), sum(each.inUse for each in relays)

    if timeout <= 0:
        return
    if relays:
        await transport.stopListening()
    for relay in relays:
        relay.drain()
    streams, names = count()
    if not streams + names:
        return
    for portal in portals:
        await portal.drain()
    if streams:
        _log.info(
            "Shutting down: {count} streams have {timeout:g} s to come to their end",
            count=streams,
            timeout=timeout,
            event="draining-streams",
        )
    if names:
        _log.info(
            "Shutting down: who sends to {count} names here has {timeout:g} s to move on",
            count=names,
            timeout=timeout,
            event="draining-names",
        )
    deadline = clock.seconds() + timeout
    while any(count()) and clock.seconds() < deadline:
        await deferLater(clock, INTERVAL)
    streams, names = count()
    if streams:
        _log.warn("{left} streams have not come to their end and are reset", left=streams, event="streams-cut")
    if names:
        _log.warn("{left} names are still sent to", left=names, event="names-left")
