"""
What a node shows of itself.
"""

from __future__ import annotations

from typing import Any

from attrs import asdict, field, frozen
from zope.interface import implementer

from ockam_twisted.interfaces import INodeStatus

#: How many of a kind are shown one by one.
SHOWN = 200


@frozen
class Change:
    """
    What became of a session.

    @ivar ago: Seconds.
    @ivar state: C{up}, C{waiting}, C{lost}, C{renewing} or C{moved}.
    @ivar why: Why, or which way it is.
    """

    ago: float
    state: str
    why: str


@frozen
class Step:
    """
    A part of a way.

    @ivar kind: C{connection}, C{name} (at a relay), C{channel} or C{worker}.
    @ivar at: Host and port; the name; who is at the end of the channel; the
        address of the worker.
    """

    kind: str
    at: str


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
    @ivar roundTrip: How long the far end took to answer when it was asked last, seconds.
    @ivar history: What became of it, the latest last.
    @ivar kind: C{relay}: it keeps a name at one; C{outlet}: it leads to one.
    @ivar hops: The parts of its way, in order; the last one is the far end.
    @ivar changes: How often it came up, or was lost.
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
    roundTrip: float | None = None
    history: tuple[Change, ...] = ()
    kind: str = ""
    hops: tuple[Step, ...] = ()
    changes: int = 0


@frozen
class PortalStatus:
    """
    One inlet or outlet.

    @ivar kind: C{inlet} or C{outlet}; of datagrams, C{udp inlet} or C{udp
        outlet}, whose flows are its streams.
    @ivar at: Where clients connect; the address of the worker.
    @ivar streams: How many streams are open.
    @ivar target: What an outlet connects them to.
    @ivar total: How many there were since the start, with the open ones.
    @ivar reset: How many of these ended with a reset.
    @ivar sent: Bytes from clients, or the target, to the far end.
    @ivar received: Bytes from the far end to them.
    @ivar dropped: Datagrams of a UDP portal that were lost at this end.
    @ivar session: Which session new streams of an inlet go over, by its
        number in the list; L{None}: none is up.
    """

    kind: str
    at: str
    streams: int
    target: str = ""
    total: int = 0
    reset: int = 0
    sent: int = 0
    received: int = 0
    session: int | None = None
    dropped: int = 0


@frozen
class StreamStatus:
    """
    An open stream.

    @ivar number: Tells it from others.
    @ivar portal: Its portal, by its number in the list.
    @ivar state: C{open}, or what it waits for.
    @ivar peer: Who is at the far end, an identifier; empty if nobody has
        proven it.
    @ivar sent: Bytes from the near end to the far end.
    @ivar received: Bytes from the far end to the near end.
    @ivar queued: Bytes that wait for the near end to take them.
    """

    number: int
    portal: int
    state: str
    peer: str
    sent: int
    received: int
    queued: int


@frozen
class HopStatus:
    """
    A connection with another node.

    @ivar peer: Host and port.
    @ivar received: Bytes.
    @ivar sent: Bytes.
    @ivar queued: Bytes that wait to be sent.
    @ivar isHeldBack: Is it not read from, because somebody behind it is slow?
    """

    peer: str
    received: int
    sent: int
    queued: int
    isHeldBack: bool


@frozen
class TicketStatus:
    """
    A ticket that is open, without its code.

    @ivar id: What people call it by.
    @ivar uses: How many may still redeem it.
    @ivar expires: For how long it is good, seconds.
    """

    id: str
    uses: int
    expires: float


@frozen
class NameStatus:
    """
    A name that is registered at this relay.

    @ivar peer: Who has it, an identifier; empty if nobody has proven it.
    @ivar senders: How many connections have sent to it, and live.
    """

    name: str
    peer: str
    senders: int


@frozen
class MemberStatus:
    """
    Somebody who may use this node.

    @ivar attributes: Names and values.
    @ivar seconds: Since when.
    @ivar by: The id of a ticket, an identifier, or C{config}.
    """

    identifier: str
    attributes: dict[str, str]
    seconds: float
    by: str


@frozen
class Limits:
    """
    What of a limited thing is used.

    @ivar queued: Bytes that wait in all output queues, and how many may.
    @ivar windows: Bytes promised to streams, and how many may be.
    """

    queued: tuple[int, int] = (0, 0)
    windows: tuple[int, int] = (0, 0)


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

    @ivar open: Its streams, up to L{SHOWN} of them.
    @ivar connections: Those with other nodes, up to so many.
    @ivar hops: How many these are.
    @ivar channels: How many secure channels there are.
    @ivar names: The names that are registered here, up to so many.
    @ivar tickets: Those that are open, up to so many.
    @ivar membersShown: Its members, up to so many.
    @ivar limits: What of limited things is used.
    @ivar dropped: Messages that could not be delivered, by why.
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
    open: tuple[StreamStatus, ...] = ()
    connections: tuple[HopStatus, ...] = ()
    hops: int = 0
    channels: int = 0
    names: tuple[NameStatus, ...] = ()
    tickets: tuple[TicketStatus, ...] = ()
    membersShown: tuple[MemberStatus, ...] = ()
    limits: Limits = Limits()
    dropped: dict[str, int] = field(factory=dict)

    def asJSON(self) -> dict[str, Any]:
        """
        The same, of nothing but what JSON can hold.
        """
        return asdict(self)
