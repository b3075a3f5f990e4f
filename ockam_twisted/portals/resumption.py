"""
What an outlet remembers of streams that may go on over another way, and of
those that have ended (design, section 7).
"""

from __future__ import annotations

from twisted.logger import Logger

from ockam_twisted.errors import DecodeError, PortalRefused
from ockam_twisted.portals.outletstream import OutletStream
from ockam_twisted.portals.plain import State
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.portals.tombstones import Tombstone, Tombstones
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

#: Why streams of a process end that is no more.
RESTARTED = "the inlet was started again"

#: How many streams of one peer may wait for another way.
MAX_ROUTELESS = 1024


class Resumptions:
    """
    See the module.

    @ivar streams: Those that have not ended, by the name that this outlet has
        given to each.
    @ivar tombstones: Those that have, by the same.
    """

    _log = Logger()

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self.streams: dict[bytes, OutletStream] = {}
        self.tombstones: Tombstones[bytes] = Tombstones()
        # The streams that have no way, by peer; the oldest first.
        self._waiting: dict[str, dict[OutletStream, None]] = {}
        # Name, identifier and instance of each stream; and which those of an
        # instance are, so that a Ping costs the same however many there are.
        self._known: dict[OutletStream, tuple[bytes, str, bytes]] = {}
        self._instances: dict[str, dict[bytes, set[OutletStream]]] = {}
        self._asking: set[Address] = set()

    def opened(self, stream: OutletStream) -> None:
        """
        A stream may be resumed from now on.
        """
        extension, peer = stream.extension, stream.peer
        if extension is None or peer is None or not extension.isResumable or stream.state is State.ENDED:
            return
        name, instance = extension.exchange.stream, extension.instance
        self.streams[name] = stream
        self._known[stream] = name, peer.identifier, instance
        self._instances.setdefault(peer.identifier, {}).setdefault(instance, set()).add(stream)

    def ended(self, stream: OutletStream) -> None:
        """
        A stream has ended; what came of it can still be asked for.
        """
        known = self._known.pop(stream, None)
        if known is None:
            return
        self.found(stream)
        name, identifier, instance = known
        del self.streams[name]
        instances = self._instances[identifier]
        streams = instances[instance]
        streams.discard(stream)
        if not streams:
            del instances[instance]
            if not instances:
                del self._instances[identifier]
        extension, result = stream.extension, stream.result
        if extension is None:
            return  # It went on without.
        at = extension.exchange.offset
        outcome = None if result is None else (result.code, result.text)
        now = self._settings.clock.seconds()
        stone = Tombstone(identifier, Resumed(at.next, at.final, outcome), now + self._settings.resumeTimeout)
        self.tombstones.add(name, stone, now)

    def waits(self, stream: OutletStream) -> None:
        """
        A stream has lost its way: of too many of one peer that have, the
        oldest ends.
        """
        assert stream.peer is not None
        waiting = self._waiting.setdefault(stream.peer.identifier, {})
        waiting[stream] = None
        if len(waiting) > MAX_ROUTELESS:
            self._log.warn(
                "Too many streams of {peer} wait for another way: the oldest ends",
                peer=stream.peer.identifier,
                event="streams-forgotten",
            )
            next(iter(waiting)).abandon("too many streams wait for another way")

    def found(self, stream: OutletStream) -> None:
        """
        A stream has a way again, or has ended.
        """
        assert stream.peer is not None
        waiting = self._waiting.get(stream.peer.identifier)
        if waiting is not None:
            waiting.pop(stream, None)
            if not waiting:
                del self._waiting[stream.peer.identifier]

    def restarted(self, peer: PeerIdentity, instance: bytes) -> None:
        """
        A process of C{peer} has begun: of another one, what waits for its way
        ends at once, and the rest if nobody answers any more at the other end
        of its channel.  (One identity may have two processes.)

        @param instance: What the process calls itself.
        """
        for stream in list(self._waiting.get(peer.identifier, ())):
            if stream.extension is not None and stream.extension.instance != instance:
                stream.abandon(RESTARTED, SHUTTING_DOWN)
        instances = self._instances.get(peer.identifier, {})
        if instance in instances:
            return
        channels: dict[Address, list[OutletStream]] = {}
        for stream in [each for streams in instances.values() for each in streams]:
            if stream.peer is not None:
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
        extension = None if stream is None else stream.extension
        if stream is None or extension is None or stream.peer is None or stream.peer.identifier != peer.identifier:
            answer = self.tombstones.find(resume.stream, peer.identifier)
            if answer is not None:
                return encodeExtension(answer)
            # Whose it is, or whether there is one, is nobody else's business.
            return encodeExtension(Reset(UNKNOWN, 0, "the outlet does not know this stream: was it started again?"))
        if refusal:
            stream.abandon("it is not permitted any more", POLICY)
            return encodeExtension(Reset(POLICY, 0, ""))
        if resume.attempt <= extension.exchange.attempt:
            return None  # A late one, or a held-back one.
        self.found(stream)
        try:
            stream.resumeReceived(message, resume)
        except PortalRefused as error:
            if stream.state is State.ROUTELESS:
                self.waits(stream)
            self._log.warn(
                "{peer} goes on with a stream as it cannot be: {reason}",
                peer=printable(peer.identifier),
                reason=str(error),
                event="resume-broken",
            )
            return encodeExtension(Reset(PROTOCOL_ERROR, 0, str(error)))
        return None
