"""
Streams whose Ping has brought what the client said: that is said to the target
once, whatever becomes of the way and whoever holds messages back
(C{docs/portal-extension.rst}).

An inlet that has no answer yet, and another way, asks for the same stream
again.  So an outlet knows by its number which one that is, as long as the
inlet has not answered its Pong.  Afterwards, and when it has ended, it
remembers that it was: for a while by its number, then by a number below which
it believes nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ockam_twisted.portals.tombstones import Tombstone, Tombstones
from ockam_twisted.routing.local_message import PeerIdentity
from ockam_twisted.wire.extension import SHUTTING_DOWN, UNKNOWN, Reset, Resumed
from ockam_twisted.wire.terms import Early

if TYPE_CHECKING:
    from ockam_twisted.portals.negotiation import Offer
    from ockam_twisted.portals.outletstream import OutletStream

#: Who has asked, the instance of its process, and the number of the stream.
Name = tuple[str, bytes, int]

#: For how many peers it is known below which number nobody is believed, and
#: for how many processes of each.
MAX_FLOORS = 4096
PEER_FLOORS = 16

#: What is said of a stream that may have been said all to.
_UNKNOWABLE = "it cannot be known what has become of this stream"
_UNKNOWN = Resumed(0, None, (UNKNOWN, _UNKNOWABLE))


class EarlyStreams:
    """
    See the module: those of one process.

    @ivar streams: Those that have not ended.
    @ivar floors: By peer, and the instance of its process: what is below has
        been, or is not believed.
    """

    def __init__(self, instance: bytes) -> None:
        """
        @param instance: Of this process.
        """
        self.streams: dict[Name, OutletStream] = {}
        self.floors: dict[str, dict[bytes, int]] = {}
        # Their names, and the attempts at which they were asked for last.
        self._attempts: dict[OutletStream, tuple[Name, int]] = {}
        self._instance = instance
        self._ended: Tombstones[Name] = Tombstones(self._forgotten)

    def find(self, peer: PeerIdentity | None, offer: Offer | None) -> OutletStream | Reset | None:
        """
        What is known of a stream that a Ping asks for.

        @param peer: Who asks.
        @param offer: What is offered.
        @return: It, if it is asked for again and may be; why it may not be
            had; or L{None}: it is new, or its Ping brings nothing.
        """
        asked = _askedFor(peer, offer)
        if asked is None:
            return None
        name, early = asked
        stream = self.streams.get(name)
        if stream is not None:
            isNext = early.attempt > self._attempts[stream][1] and not _isAnswered(stream)
            return stream if isNext else _reset(_UNKNOWN)
        answer = self._ended.find(name, name[0])
        if answer is not None and (answer.result is not None or early.attempt <= answer.next):
            return _reset(answer)
        isLate = early.number < self.floors.get(name[0], {}).get(name[1], 0)
        # The process that it means may have said it to the target.
        if isLate or early.outlet not in (None, self._instance):
            return _reset(_UNKNOWN)
        return None

    def asked(self, stream: OutletStream, peer: PeerIdentity | None, offer: Offer | None) -> None:
        """
        A stream is begun, or it was asked for again.
        """
        asked = _askedFor(peer, offer)
        if asked is not None:
            name, early = asked
            self.streams[name] = stream
            self._attempts[stream] = name, early.attempt

    def ended(self, stream: OutletStream, now: float, seconds: float) -> None:
        """
        A stream has ended.

        @param now: What the clock says.
        @param seconds: For how long its end can still be asked for.
        """
        name, attempt = self._attempts.pop(stream, (None, 0))
        if name is None:
            return
        del self.streams[name]
        # Nothing was said to a target that did not answer: who asks again may
        # have another try, but no earlier attempt that comes later.
        if stream.wasTold and not _isAnswered(stream):
            result = stream.result
            # That the outlet stops is said of what was not told: there may be
            # another one that can be.
            answer = _UNKNOWN
            if result is not None and result.code != SHUTTING_DOWN:
                answer = Resumed(0, None, (result.code, result.text))
        elif attempt > 1:
            answer = _UNKNOWN if stream.wasTold else Resumed(attempt)
        else:
            return
        self._ended.add(name, Tombstone(name[0], answer, now + seconds), now)

    def refused(self, peer: PeerIdentity | None, offer: Offer | None, now: float, seconds: float) -> None:
        """
        A stream that is new was refused: nor may it be had by an earlier
        attempt that comes later, since it may be had elsewhere by then.

        @param peer: Who has asked.
        @param offer: What was offered.
        @param now: What the clock says.
        @param seconds: For how long that can be asked for.
        """
        asked = _askedFor(peer, offer)
        if asked is not None and asked[1].attempt > 1:
            name = asked[0]
            self._ended.add(name, Tombstone(name[0], _UNKNOWN, now + seconds), now)

    def _forgotten(self, name: Name) -> None:
        identifier, instance, number = name
        # Who begins many processes, or says so, makes only its own forgotten.
        floors = self.floors.pop(identifier, {})
        floor = max(floors.pop(instance, 0), number + 1)
        if len(floors) >= PEER_FLOORS:
            del floors[next(iter(floors))]
        if len(self.floors) >= MAX_FLOORS:
            del self.floors[next(iter(self.floors))]
        floors[instance] = floor
        self.floors[identifier] = floors


def _reset(answer: Resumed) -> Reset:
    code, text = answer.result or (UNKNOWN, _UNKNOWABLE)
    return Reset(code, 0, text)


def _askedFor(peer: PeerIdentity | None, offer: Offer | None) -> tuple[Name, Early] | None:
    """
    @return: Which stream is asked for, and how; or L{None} if its Ping brings
        nothing.
    """
    if peer is None or offer is None or not offer.early:
        return None
    early = offer.terms.early
    return None if early is None else ((peer.identifier, offer.terms.instance, early.number), early)


def _isAnswered(stream: OutletStream) -> bool:
    return stream.extension is not None and stream.extension.isAnswered
