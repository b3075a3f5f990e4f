"""
How long it takes to each node on a way, and back.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from ockam_twisted.errors import ConnectionClosed, NoRoute, NotAccepted, OckamError
from ockam_twisted.interfaces import ITrustPolicy
from ockam_twisted.node import Node
from ockam_twisted.routing.addresses import Address, Route, printable
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.session import NETWORK_ERRORS
from ockam_twisted.visits.road import ECHO_TIMEOUT, Road


@define
class Hop:
    """
    A place on the way that has an echo, or not.

    @ivar label: What it is, for people.
    @ivar route: To it.
    @ivar sent: How often it was asked.
    @ivar times: Seconds until it answered, in order.
    """

    label: str
    route: Route = field(repr=False)
    sent: int = 0
    times: list[float] = field(factory=list)

    def asJSON(self) -> dict[str, Any]:
        """
        For programs; seconds.
        """
        times = self.times
        least, middle, most = (min(times), median(times), max(times)) if times else (None, None, None)
        return {
            "hop": self.label,
            "sent": self.sent,
            "answered": len(times),
            "min": least,
            "median": middle,
            "max": most,
            "times": times,
        }


@define
class Pinged:
    """
    What came of pinging along one way.

    @ivar way: The way.
    @ivar connect: Seconds until the connection was there.
    @ivar greeting: Seconds from then until the other side's version byte.
    @ivar handshakes: Of each channel: who is at its end, and seconds.
    @ivar hops: The nodes, near ones first.
    @ivar error: Why it went no further; empty if it did not fail.
    """

    way: str
    connect: float | None = None
    greeting: float | None = None
    handshakes: list[tuple[str, float]] = field(factory=list)
    hops: list[Hop] = field(factory=list)
    error: str = ""

    @property
    def isGood(self) -> bool:
        """
        Has the far end answered?
        """
        return not self.error and bool(self.hops) and bool(self.hops[-1].times)

    def asJSON(self) -> dict[str, Any]:
        """
        For programs; seconds.
        """
        return {
            "way": self.way,
            "ok": self.isGood,
            "error": self.error,
            "connect": self.connect,
            "greeting": self.greeting,
            "handshakes": [{"identifier": who, "seconds": seconds} for who, seconds in self.handshakes],
            "hops": [each.asJSON() for each in self.hops],
        }


class Ping:
    """
    See the module.
    """

    def __init__(
        self,
        reactor: Any,
        node: Node,
        count: int,
        interval: float,
        begun: Callable[[Pinged], object],
        answered: Callable[[Pinged, int, list[float | None]], object],
    ) -> None:
        """
        @param count: How often each hop is asked.
        @param interval: Seconds between.
        @param begun: Told of a way once everything is made along it, or it
            went no further.
        @param answered: Told of each round: its number, and the times of the
            hops; L{None}: no answer.
        """
        self._reactor = reactor
        self._node = node
        self._count = count
        self._interval = interval
        self._begun = begun
        self._answered = answered

    async def along(self, pinged: Pinged, address: MultiAddr, trust: ITrustPolicy) -> None:
        """
        Ping along one way.

        @param pinged: Filled with what comes of it.
        """
        road = Road(self._reactor, self._node, address)
        try:
            try:
                await self._make(pinged, road, trust)
            finally:
                self._begun(pinged)
            await self._rounds(pinged, road)
        except (OckamError, *NETWORK_ERRORS) as error:
            pinged.error = printable(str(error) or type(error).__name__)
        finally:
            road.close()

    async def _make(self, pinged: Pinged, road: Road, trust: ITrustPolicy) -> None:
        pinged.connect, pinged.greeting = await road.dial()
        pinged.hops.append(Hop(road.at, road.route))
        for number, leg in enumerate(road.legs):
            inside = road.route
            for worker in leg.workers if leg.listener else ():
                inside = inside.append(Address.local(worker))
            if inside != road.route:
                pinged.hops.append(Hop(f"{'/'.join(leg.workers)}, outside of the channel", inside))
            if leg.listener:
                began = self._reactor.seconds()
                channel = await road.secure(leg, trust)
                who = str(channel.peerIdentifier)
                pinged.handshakes.append((who, self._reactor.seconds() - began))
                isLast = not any(each.listener for each in road.legs[number + 1 :])
                pinged.hops.append(Hop(f"{who}, inside of {'the' if isLast else 'a'} channel", road.route))

    async def _rounds(self, pinged: Pinged, road: Road) -> None:
        for number in range(self._count):
            began = self._reactor.seconds()
            # Near ones that have no echo are not waited for each time.
            asked = [hop for hop in pinged.hops if hop is pinged.hops[-1] or hop.times or not hop.sent]
            waiting: list[Deferred[float | None]] = []
            for hop in asked:
                hop.sent += 1
                waiting.append(Deferred.fromCoroutine(road.echo(hop.route)))
            try:
                times = await gatherResults(waiting, consumeErrors=True)
            except Exception as failure:
                raise _ended(road, failure) from None
            for hop, took in zip(asked, times, strict=True):
                if took is not None:
                    hop.times.append(took)
            by = {id(hop): took for hop, took in zip(asked, times, strict=True)}
            self._answered(pinged, number + 1, [by.get(id(hop)) for hop in pinged.hops])
            left = began + self._interval - self._reactor.seconds()
            if number + 1 < self._count and left > 0:
                await deferLater(self._reactor, left)


def _ended(road: Road, failure: Exception) -> Exception:
    """
    What an end in the middle was.
    """
    error = getattr(failure, "subFailure", None)
    value: Exception = failure if error is None else error.value
    channels = road.parts.channels
    if isinstance(value, ConnectionClosed | NoRoute) and channels and channels[-1].hasEnded:
        kind = NotAccepted if channels[-1].wasRefused else ConnectionClosed
        return kind(channels[-1].reason)
    return value


__all__ = ["ECHO_TIMEOUT", "Hop", "Ping", "Pinged"]
