"""
A picture of the sessions and portals of a node, as they are now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from ockam_twisted.ops.status import PortalStatus, SessionStatus
from ockam_twisted.portals.inlet import Inlet
from ockam_twisted.portals.outlet import Outlet
from ockam_twisted.sessions.session import Session


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
        )


def portalStatus(portal: Inlet | Outlet) -> PortalStatus:
    """
    A picture of an inlet or outlet.
    """
    if isinstance(portal, Outlet):
        return PortalStatus("outlet", portal.address.value.decode("utf-8", "replace"), len(portal.streams))
    at: Any = None if portal.port is None else portal.port.getHost()
    where = "" if at is None else f"{at.host}:{at.port}" if hasattr(at, "port") else str(at)
    return PortalStatus("inlet", where, len(portal.streams))
