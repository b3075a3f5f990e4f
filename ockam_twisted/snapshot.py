"""
A picture of what a node has, as it is now.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from ockam_twisted.authority.authority import Authority
from ockam_twisted.ops.status import (
    SHOWN,
    Change,
    HopStatus,
    MemberStatus,
    NameStatus,
    PortalStatus,
    SessionStatus,
    Step,
    StreamStatus,
    TicketStatus,
)
from ockam_twisted.portals.datagraminlet import DatagramInlet
from ockam_twisted.portals.datagramoutlet import DatagramOutlet
from ockam_twisted.portals.inlet import Inlet
from ockam_twisted.portals.outlet import Outlet
from ockam_twisted.relays.service import RelayService
from ockam_twisted.routing.addresses import printable
from ockam_twisted.routing.multiaddr import Component, MultiAddr
from ockam_twisted.sessions.session import Session
from ockam_twisted.transports.hop import HopProtocol


def sessionStatuses(
    sessions: Iterable[tuple[Session, bool]], portals: Iterable[Inlet | Outlet], now: float
) -> Iterator[SessionStatus]:
    """
    Pictures of sessions.

    @param sessions: Each with whether new streams go over it.
    @param portals: Whose streams go over them.
    @param now: On the clock of the sessions.
    """
    streams = Counter(
        stream.peer.identifier
        for portal in portals
        if isinstance(portal, Inlet)
        for stream in portal.streams
        if stream.peer is not None
    )
    for session, inUse in sessions:
        made, again = session.established, session.nextTry
        yield SessionStatus(
            session.label,
            session.state.value,
            session.report.lacking() if made is None else max(0.0, now - session.since),
            session.why,
            None if again is None else max(0.0, again - now),
            "" if made is None else made.description,
            "" if made is None else made.peer,
            inUse,
            0 if made is None else streams[made.peer],
            None if made is None else made.word.roundTrip,
            tuple(Change(max(0.0, now - when), state, why) for when, state, why in session.report.history),
            "relay" if session.label.startswith("relay ") else "outlet",
            tuple(_steps(session)),
            session.report.changes,
        )


def _steps(session: Session) -> Iterator[Step]:
    """
    The parts of the way of a session, as far as they are known.
    """
    made = session.established
    text = session.label.removeprefix("relay ") if made is None else made.description
    way = text.partition(" ")[0]
    if session.label.startswith("relay "):
        yield Step("connection", session.label.removeprefix("relay "))
        if made is not None:
            yield Step("name", text.rpartition(" ")[2])
        return
    if not way.startswith("/"):
        return
    address = MultiAddr.fromText(way)
    road = address.road
    if road:
        yield Step("connection", connectionText(road))
    for protocol, value in address.components[len(road) :]:
        if protocol == "secure":
            yield Step("channel", "" if made is None else made.peer)
        elif str(value).startswith("forward_to_"):
            yield Step("name", str(value))
        else:
            yield Step("worker", str(value))


def connectionText(road: tuple[Component, ...]) -> str:
    """
    A connection, for people: host and port where that says it all.

    @param road: L{MultiAddr.road}.
    """
    if [name for name, _ in road[1:]] != ["tcp"]:
        return str(MultiAddr(road))
    (kind, host), (_, port) = road
    return f"[{host}]:{port}" if kind == "ip6" else f"{host}:{port}"


def _at(portal: Inlet | Outlet) -> str:
    if isinstance(portal, Outlet):
        return portal.address.value.decode("utf-8", "replace")
    at: Any = None if portal.port is None else portal.port.getHost()
    return "" if at is None else f"{at.host}:{at.port}" if hasattr(at, "port") else str(at)


def portalStatus(portal: Inlet | Outlet, sessions: Sequence[Session] = ()) -> PortalStatus:
    """
    A picture of an inlet or outlet.

    @param sessions: Those there are, in the order of L{sessionStatuses}.
    """
    chosen = getattr(portal.way, "chosen", None) if isinstance(portal, Inlet) else None
    totals, streams = portal.totals, portal.streams
    return PortalStatus(
        "outlet" if isinstance(portal, Outlet) else "inlet",
        _at(portal),
        len(streams),
        portal.label if isinstance(portal, Outlet) else "",
        totals.opened,
        totals.reset,
        totals.sent(streams),
        totals.received(streams),
        sessions.index(chosen) if chosen in sessions else None,
    )


def portalStatuses(
    portals: Iterable[Inlet | Outlet],
    datagrams: Iterable[DatagramInlet | DatagramOutlet],
    sessions: Sequence[Session],
) -> Iterator[PortalStatus]:
    """
    Pictures of all portals; those of datagrams come last.

    @param sessions: Those there are, in the order of L{sessionStatuses}.
    """
    for portal in portals:
        yield portalStatus(portal, sessions)
    for each in datagrams:
        isOutlet = isinstance(each, DatagramOutlet)
        totals = each.totals
        yield PortalStatus(
            "udp outlet" if isOutlet else "udp inlet",
            each.at,
            len(each.flows),
            each.label if isinstance(each, DatagramOutlet) else "",
            totals.opened,
            sent=totals.sentBytes,
            received=totals.receivedBytes,
            dropped=totals.dropped,
        )


def streamStatuses(portals: Iterable[Inlet | Outlet]) -> Iterator[StreamStatus]:
    """
    Pictures of open streams, as many as are shown.
    """
    every = ((number, stream) for number, portal in enumerate(portals) for stream in portal.streams)
    for number, stream in islice(every, SHOWN):
        output = getattr(stream.local, "output", None)
        yield StreamStatus(
            # Who knows the address itself could try to send there.
            int.from_bytes(hashlib.sha256(stream.address.value).digest()[:4], "big"),
            number,
            stream.state.name.lower(),
            "" if stream.peer is None else str(stream.peer.identifier),
            stream.sent,
            stream.received,
            0 if output is None else output.queued,
        )


def hopStatuses(hops: Iterable[HopProtocol]) -> Iterator[HopStatus]:
    """
    Pictures of connections, as many as are shown.
    """
    for hop in islice((each for each in hops if hasattr(each, "output")), SHOWN):
        output = hop.output
        yield HopStatus(hop.peer, hop.received, output.sent, output.queued, bool(hop.source.pauses))


def ticketStatuses(authority: Authority, now: int) -> Iterator[TicketStatus]:
    """
    Pictures of tickets that are open, as many as are shown.

    @param now: Epoch seconds.
    """
    tokens = (each for each in authority.tokens() if each.isOpen(now))
    for token in islice(tokens, SHOWN):
        yield TicketStatus(token.id, token.uses - len(token.redemptions), token.expiresAt - now)


def memberStatuses(authority: Authority, now: int) -> Iterator[MemberStatus]:
    """
    Pictures of members, as many as are shown.

    @param now: Epoch seconds.
    """
    for member in islice(authority.members(), SHOWN):
        attributes = {
            printable(name.decode("utf-8", "replace")): printable(value.decode("utf-8", "replace"))
            for name, value in member.attributes
        }
        yield MemberStatus(str(member.identifier), attributes, max(0, now - member.added), member.addedBy)


def nameStatuses(relays: Iterable[RelayService]) -> Iterator[NameStatus]:
    """
    Pictures of the names that are registered at a relay, as many as are
    shown.
    """
    every = ((address, relay) for service in relays for address, relay in service.relays.items())
    for address, relay in islice(every, SHOWN):
        yield NameStatus(printable(address.value), str(relay.claim.identifier or ""), relay.senders)
