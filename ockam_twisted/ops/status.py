"""
What a node shows of itself.
"""

from __future__ import annotations

from typing import Any

from attrs import asdict, frozen
from zope.interface import implementer

from ockam_twisted.interfaces import INodeStatus


@frozen
class SessionStatus:
    """
    What a session keeps alive, and how that goes.

    @ivar label: What it is, for people.
    @ivar state: C{idle}, C{trying}, C{waiting}, C{up} or C{up, renewing}.
    @ivar seconds: For how long it has been up, or has been down.
    @ivar why: Why it is not up; empty while it is.
    @ivar nextTry: Seconds until it tries again; L{None} if it does not wait.
    @ivar way: What was reached, and over which way; empty if it is not up.
    @ivar peer: Who is there, an identifier; empty if nobody has proven it.
    @ivar inUse: Do new streams of an inlet go over it?
    @ivar streams: How many open streams go to C{peer}.
    """

    label: str
    state: str
    seconds: float
    why: str = ""
    nextTry: float | None = None
    way: str = ""
    peer: str = ""
    inUse: bool = False
    streams: int = 0


@frozen
class PortalStatus:
    """
    One inlet or outlet.

    @ivar kind: C{inlet} or C{outlet}.
    @ivar at: Where clients connect; the address of the worker.
    @ivar streams: How many streams are open.
    """

    kind: str
    at: str
    streams: int


@frozen
class ProcessStatus:
    """
    One process of a relay that has several.

    @ivar number: 0: the first.
    @ivar pid: Its process id; 0: it is not there.
    @ivar state: C{starting}, C{running} or C{ended}.
    @ivar connections: How many it has.
    """

    number: int
    pid: int
    state: str
    connections: int


@implementer(INodeStatus)
@frozen
class NodeStatus:
    """
    See L{INodeStatus}.
    """

    name: str
    identifier: str
    listeners: tuple[str, ...]
    sessions: tuple[SessionStatus, ...]
    streams: int
    portals: tuple[PortalStatus, ...] = ()
    seconds: float = 0.0
    relayed: int = 0
    members: int = 0
    processes: tuple[ProcessStatus, ...] = ()

    def asJSON(self) -> dict[str, Any]:
        """
        The same, of nothing but what JSON can hold.
        """
        return asdict(self)
