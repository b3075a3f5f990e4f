"""
C{ockam-twisted ping}: the round trip to each node on a way.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from twisted.python import usage

from ockam_twisted.subcommands.way import NOWHERE, WayOptions, runUntilDone


def milliseconds(seconds: float | None) -> str:
    """
    A time for people.
    """
    return "no answer" if seconds is None else f"{seconds * 1000:.2f} ms"


def heading(pinged: Any) -> Iterator[str]:
    """
    What was made along a way.

    @param pinged: A L{Pinged<ockam_twisted.visits.ping.Pinged>}.
    """
    yield f"The way {pinged.way}:"
    if pinged.connect is not None:
        greeting = f", version byte after another {milliseconds(pinged.greeting)}"
        yield f"  connection    {milliseconds(pinged.connect)}{greeting}"
    for who, seconds in pinged.handshakes:
        yield f"  handshake     {milliseconds(seconds)}, {who} is there"
    for number, hop in enumerate(pinged.hops, 1):
        yield f"  hop {number}         {hop.label}"


def summary(pinged: Any) -> Iterator[str]:
    """
    The least, the middle and the longest time of each hop.

    @param pinged: A L{Pinged<ockam_twisted.visits.ping.Pinged>}.
    """
    for number, hop in enumerate(pinged.hops, 1):
        shown = hop.asJSON()
        if not shown["answered"]:
            if shown["sent"]:
                yield f"  hop {number}: {shown['sent']} sent, none answered: there is no echo, or not for us"
            continue
        times = "  ".join(f"{name} {milliseconds(shown[name])}" for name in ("min", "median", "max"))
        yield f"  hop {number}: {shown['answered']} of {shown['sent']} answered  {times}"
    if pinged.error:
        yield f"  {pinged.error}"


class Ping(WayOptions):
    """
    C{ockam-twisted ping}
    """

    argument = "way"
    isNeeded = False
    synopsis = "Usage: ockam-twisted ping [options] [MULTIADDR | IDENTIFIER@MULTIADDR]"
    longdesc = (
        "Connects along a way and shows how long that takes, then asks the echo of each node on it again and again: of "
        "the relay, of the node behind its name, and of that node once more inside of the secure channel. Without a "
        "way it is the one that the ockam-inlet of the same --instance is paired with, whether that runs or not. Of a "
        "way that does not say who must be at its end, whoever is there is shown. The exit status is 0 if the far end "
        "of each way has answered, else 1."
    )
    examples = """\
  Of the inlet on this machine:
    ockam-twisted ping
  Of a relay alone, and of an outlet behind it:
    ockam-twisted ping /dnsaddr/relay.example.com/tcp/4000
    ockam-twisted ping /dnsaddr/relay.example.com/tcp/4000/service/forward_to_I3f.../secure/api
"""
    optParameters = [
        ["count", "c", "5", "How often each hop is asked"],
        ["interval", "i", "1", "Seconds between; who does not know us answers no more than ten times a second"],
    ]
    optFlags = [["json", None, "Print JSON, at the end; times are in seconds"]]

    def postOptions(self) -> None:
        """
        Check the form of the options.
        """
        from ockam_twisted.errors import OckamError
        from ockam_twisted.places import checkRoad
        from ockam_twisted.sessions.destination import readPinnedWay

        self._to: Any = None
        way = self.get("way", "")
        given = [name for name in ("to", "ticket", "allow", "authority") if self[name]]
        if way and given:
            raise usage.UsageError(f"the way is given already: it excludes --{given[0]}")
        try:
            self._count = int(self.number("count", 1, 1_000_000, True))
            self._interval = self.number("interval", 0.01, 3600)
            if not way:
                self.readWay()
                return
            self._to = readPinnedWay(way)
            checkRoad(self._to[1], "the way")
            self.nodeConfig = self.config()
        except OckamError as error:
            raise usage.UsageError(str(error)) from None

    def config(self) -> Any:
        """
        See L{WayOptions.config}.  Who is at the end of a way that was given
        is for us to decide.
        """
        from attrs import evolve

        from ockam_twisted.config import InletConfig, TrustConfig

        config = super().config()
        if self._to is None:
            return config
        return evolve(config, inlets=(InletConfig(NOWHERE, (), TrustConfig(everyone=True)),))

    def _goals(self, visit: Any) -> list[tuple[Any, Any]]:
        """
        Ways, each with who must be at its end.
        """
        from ockam_twisted.identity.trust import TrustEveryone, TrustIdentifier
        from ockam_twisted.places import trustPolicy

        if self._to is None:
            return [(way, each.trust) for each in visit.destinations() for way in each.ways]
        who, way = self._to
        if who is not None:
            return [(way, TrustIdentifier(who))]
        return [(way, trustPolicy(self["authorized"]) if self["authorized"] else TrustEveryone())]

    def run(self) -> int:
        """
        Ping.
        """
        from twisted.internet.defer import CancelledError

        from ockam_twisted.visits import ping
        from ockam_twisted.visits.visit import Visit

        done: list[ping.Pinged] = []

        def say(*lines: str) -> None:
            if not self["json"]:
                print(*lines, sep="\n", flush=True)

        def answered(pinged: ping.Pinged, number: int, times: list[float | None]) -> None:
            say(f"  {number}: " + ", ".join(f"hop {hop} {milliseconds(each)}" for hop, each in enumerate(times, 1)))

        async def work(reactor: Any) -> int:
            visit = Visit(reactor, self.nodeConfig)
            try:
                await visit.open()
                pinging = ping.Ping(
                    reactor, visit.node, self._count, self._interval, lambda pinged: say(*heading(pinged)), answered
                )
                for way, trust in self._goals(visit):
                    pinged = ping.Pinged(str(way))
                    done.append(pinged)
                    try:
                        await pinging.along(pinged, way, trust)
                    finally:
                        say(*summary(pinged))
            except CancelledError:
                # Enough was seen.
                pass
            finally:
                await visit.close()
            good = bool(done) and all(each.isGood for each in done)
            if self["json"]:
                print(json.dumps({"ok": good, "ways": [each.asJSON() for each in done]}, indent=2))
            return 0 if good else 1

        return runUntilDone(work)
