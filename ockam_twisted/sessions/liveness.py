"""
Is the peer of a channel still there?  For channels that others have made: who
has made one watches it (L{ockam_twisted.sessions.watch}), but who has answered
would learn of its end only from the road below, which may be a relay that
says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from os import urandom
from typing import cast
from weakref import WeakKeyDictionary

from attrs import define
from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.channels.party import Party
from ockam_twisted.interfaces import IRouter
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.services.requests import requestRaw
from ockam_twisted.sessions.watch import HINT_DELAY

#: Seconds that the peer has to be heard.
TIMEOUT = 3.0

#: Seconds between two looks at all channels, of silence of one before its peer
#: is asked (those that make channels are heard more often than that), and that
#: it has then: a whole window may be before the question on a slow road.
INTERVAL = 5.0
SILENT = 20.0
PATIENCE = 60.0

ECHO = Address.local("echo")


@define
class _Seen:
    """
    What is known of a channel.

    @ivar heard: How many records, when it was last heard.
    @ivar at: When that was.
    @ivar answers: It does when it is asked.
    """

    heard: int
    at: float
    answers: bool = False


class Liveness(Service):
    """
    See the module.
    """

    _log = Logger()

    def __init__(self, router: IRouter, clock: IReactorTime, party: Callable[[], Party]) -> None:
        """
        @param party: Knows the channels.
        """
        self._seen: WeakKeyDictionary[SecureChannel, _Seen] = WeakKeyDictionary()
        self._doubted: WeakKeyDictionary[SecureChannel, float] = WeakKeyDictionary()
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock
        self._router = router
        self._clock = clock
        self._party = party
        self._asked: dict[tuple[Address, float], list[Deferred[bool]]] = {}

    def startService(self) -> None:
        """
        Watch the channels of others that streams go through.
        """
        super().startService()
        self._loop.start(INTERVAL, now=False)

    def stopService(self) -> None:
        """
        Watch them no more.
        """
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def _look(self) -> None:
        now = self._clock.seconds()
        for channel in self._channels():
            if channel.isInitiator or not self._router.dependents(channel.encryptor):
                continue
            if self._router.peers.isPatient(channel.road):
                continue
            seen = self._seen.get(channel)
            if seen is None:
                # While it surely lives: does it answer at all?
                seen = self._seen[channel] = _Seen(channel.heard, now)
                self._ask(channel, seen)
            elif channel.heard != seen.heard or now < seen.at:
                seen.heard, seen.at = channel.heard, now
            elif now - seen.at >= SILENT and seen.answers:
                self._ask(channel, seen)

    def _ask(self, channel: SecureChannel, seen: _Seen) -> None:
        def answered(lives: bool) -> None:
            if lives:
                seen.answers = True
            elif seen.answers and channel.heard == seen.heard:
                self._judged(False, channel, f"nothing was heard for {SILENT + PATIENCE:.0f} s")

        if (channel.encryptor, PATIENCE) not in self._asked:
            self.ask(channel.encryptor, PATIENCE).addCallback(answered)

    def ask(self, encryptor: Address, timeout: float = TIMEOUT) -> Deferred[bool]:
        """
        Ask the peer behind C{encryptor}; whatever is heard of it is an answer.

        @return: Fires with whether it lives, within C{timeout} seconds.
        """
        channel = next((each for each in self._channels() if each.encryptor == encryptor), None)
        if channel is None:
            return succeed(False)
        asking: Deferred[bool] = Deferred()
        waiting = self._asked.get((encryptor, timeout))
        if waiting is not None:
            waiting.append(asking)
            return asking
        self._asked[encryptor, timeout] = [asking]
        heard = channel.heard
        with self._router.turn:
            answer = requestRaw(self._router, self._clock, Route((encryptor, ECHO)), b"\x1b" + urandom(8), timeout)
        answer.addBoth(lambda _: self._answered(channel, timeout, heard))
        return asking

    def _answered(self, channel: SecureChannel, timeout: float, heard: int) -> None:
        lives = not channel.hasEnded and channel.heard != heard
        for asking in self._asked.pop((channel.encryptor, timeout)):
            asking.callback(lives)

    def _channels(self) -> list[SecureChannel]:
        channels = cast("list[SecureChannel]", list(self._party().channels))
        return [each for each in channels if not each.hasEnded]

    def gone(self, hop: Address, beyond: Address, reason: str) -> None:
        """
        It is said that what comes through C{hop} to C{beyond}, an address of
        the next node, does not arrive any more: end the channels there whose
        peer does not answer.

        @param reason: Who says it, for people.
        """
        now = self._clock.seconds()
        for channel in self._channels():
            if not channel.isInitiator and channel.road[:2] == (hop, beyond):
                if 0 <= now - self._doubted.get(channel, -HINT_DELAY) < HINT_DELAY:
                    continue
                self._doubted[channel] = now
                self.ask(channel.encryptor).addCallback(self._judged, channel, reason)

    def _judged(self, lives: bool, channel: SecureChannel, reason: str) -> None:
        if not lives and not channel.hasEnded:
            channel.fail(f"{reason}, and the peer does not answer")
