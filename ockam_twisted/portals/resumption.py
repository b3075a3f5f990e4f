"""
What an outlet remembers of streams that may go on over another way, and of
those that have ended (design, section 7).
"""

from __future__ import annotations

from collections import OrderedDict

from attrs import frozen
from twisted.logger import Logger

from ockam_twisted.errors import DecodeError, PortalRefused
from ockam_twisted.portals.outletstream import OutletStream
from ockam_twisted.portals.plain import State
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.routing.addresses import Address, printable
from ockam_twisted.routing.local_message import LocalMessage, PeerIdentity
from ockam_twisted.wire.extension import (
    POLICY,
    PROTOCOL_ERROR,
    SHUTTING_DOWN,
    UNKNOWN,
    Reset,
    Resume,
    Resumed,
    decodeExtension,
    encodeExtension,
)

#: How many ended streams are remembered.
MAX_TOMBSTONES = 4096

#: Why streams of a process end that is no more.
RESTARTED = "the inlet was started again"

#: How many streams of one peer may wait for another way.
MAX_ROUTELESS = 256


@frozen
class Tombstone:
    """
    What is left of a stream.

    @ivar identifier: Whose it was, in text.
    @ivar answer: What a Resume of it gets.
    @ivar until: When it is forgotten, on the clock.
    """

    identifier: str
    answer: bytes
    until: float


class Resumptions:
    """
    See the module.

    @ivar streams: Those that have not ended, by the name that this outlet has
        given to each.
    @ivar tombstones: Those that have, the oldest first.
    """

    _log = Logger()

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self.streams: dict[bytes, OutletStream] = {}
        self.tombstones: OrderedDict[bytes, Tombstone] = OrderedDict()
        self._asking: set[Address] = set()

    def opened(self, stream: OutletStream) -> None:
        """
        A stream may be resumed from now on.
        """
        extension = stream.extension
        if extension is not None and extension.exchange.isResumable and self._settings.resumeTimeout > 0:
            self.streams[extension.exchange.stream] = stream

    def ended(self, stream: OutletStream) -> None:
        """
        A stream has ended; what came of it can still be asked for.
        """
        extension = stream.extension
        if extension is None or self.streams.pop(extension.exchange.stream, None) is None:
            return
        at, result, peer = extension.exchange.offset, stream.result, stream.peer
        if peer is None:
            return
        outcome = None if result is None else (result.code, result.text)
        now = self._settings.clock.seconds()
        tombstones = self.tombstones
        tombstones[extension.exchange.stream] = Tombstone(
            peer.identifier, encodeExtension(Resumed(at.next, at.final, outcome)), now + self._settings.resumeTimeout
        )
        while tombstones and (len(tombstones) > MAX_TOMBSTONES or next(iter(tombstones.values())).until <= now):
            tombstones.popitem(last=False)

    def limit(self, stream: OutletStream) -> None:
        """
        A stream has lost its way: of too many of one peer that have, the
        oldest ends.
        """
        assert stream.peer is not None
        waiting = [each for each in self._of(stream.peer.identifier) if each.state is State.ROUTELESS]
        if len(waiting) > MAX_ROUTELESS:
            self._log.warn(
                "Too many streams of {peer} wait for another way: the oldest ends", peer=stream.peer.identifier
            )
            waiting[0].abandon("too many streams wait for another way")

    def _of(self, identifier: str) -> list[OutletStream]:
        return [each for each in self.streams.values() if each.peer is not None and each.peer.identifier == identifier]

    def restarted(self, peer: PeerIdentity, instance: bytes) -> None:
        """
        A process of C{peer} has begun: of another one, what waits for its way
        ends at once, and the rest if nobody answers any more at the other end
        of its channel.  (One identity may have two processes.)

        @param instance: What the process calls itself.
        """
        channels: dict[Address, list[OutletStream]] = {}
        mine = self._of(peer.identifier)
        isKnown = any(each.extension is not None and each.extension.instance == instance for each in mine)
        for stream in mine:
            if stream.extension is None or stream.extension.instance == instance:
                continue
            if stream.state is State.ROUTELESS:
                stream.abandon(RESTARTED, SHUTTING_DOWN)
            elif stream.peer is not None and not isKnown:
                channels.setdefault(stream.peer.encryptor, []).append(stream)
        for encryptor, streams in channels.items():
            if encryptor not in self._asking:
                self._asking.add(encryptor)
                self._settings.lives(encryptor).addCallback(self._asked, encryptor, streams)

    def _asked(self, lives: bool, encryptor: Address, streams: list[OutletStream]) -> None:
        self._asking.discard(encryptor)
        if not lives:
            for stream in streams:
                # It may have gone on over another channel meanwhile.
                if stream.peer is not None and stream.peer.encryptor == encryptor:
                    stream.abandon(RESTARTED, SHUTTING_DOWN)

    def ask(self, message: LocalMessage, refusal: str) -> bytes | None:
        """
        Somebody wants to go on with a stream.

        @param message: Of the kind Resume, with a return route.
        @param refusal: Why it may not; empty if it may.
        @return: What it is told, unless the stream itself has answered.
        """
        try:
            resume = decodeExtension(message.payload)
        except DecodeError:
            return None
        peer = message.peerIdentity
        if not isinstance(resume, Resume) or peer is None:
            return None
        stream = self.streams.get(resume.stream)
        if stream is None or stream.peer is None or stream.peer.identifier != peer.identifier:
            tombstone = self.tombstones.get(resume.stream)
            if tombstone is not None and tombstone.identifier == peer.identifier:
                return tombstone.answer
            # Whose it is, or whether there is one, is nobody else's business.
            return encodeExtension(Reset(UNKNOWN, 0, "the outlet does not know this stream: was it started again?"))
        if refusal:
            stream.abandon("it is not permitted any more", POLICY)
            return encodeExtension(Reset(POLICY, 0, ""))
        assert stream.extension is not None
        if resume.attempt <= stream.extension.exchange.attempt:
            return None  # A late one, or a held-back one.
        try:
            stream.resumeReceived(message, resume)
        except PortalRefused as error:
            self._log.warn(
                "{peer} goes on with a stream as it cannot be: {reason}",
                peer=printable(peer.identifier),
                reason=str(error),
            )
            return encodeExtension(Reset(PROTOCOL_ERROR, 0, str(error)))
        return None
