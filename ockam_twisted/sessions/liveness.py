"""
Is the peer of a channel still there?  For channels that others have made: who
has made one watches it (L{ockam_twisted.sessions.watch}), but who has answered
would learn of its end only from the road below.
"""

from __future__ import annotations

from collections.abc import Callable
from os import urandom
from typing import cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.channels.party import Party
from ockam_twisted.interfaces import IRouter
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.services.requests import requestRaw

#: Seconds that the peer has to be heard.
TIMEOUT = 3.0

ECHO = Address.local("echo")


class Liveness:
    """
    See the module.
    """

    _log = Logger()

    def __init__(self, router: IRouter, clock: IReactorTime, party: Callable[[], Party]) -> None:
        """
        @param party: Knows the channels.
        """
        self._router = router
        self._clock = clock
        self._party = party
        self._asked: dict[Address, list[Deferred[bool]]] = {}

    def ask(self, encryptor: Address) -> Deferred[bool]:
        """
        Ask the peer behind C{encryptor}; whatever is heard of it is an answer.

        @return: Fires with whether it lives, within L{TIMEOUT} seconds.
        """
        channel = next((each for each in self._channels() if each.encryptor == encryptor), None)
        if channel is None:
            return succeed(False)
        asking: Deferred[bool] = Deferred()
        waiting = self._asked.get(encryptor)
        if waiting is not None:
            waiting.append(asking)
            return asking
        self._asked[encryptor] = [asking]
        heard = channel.heard
        with self._router.turn:
            answer = requestRaw(self._router, self._clock, Route((encryptor, ECHO)), b"\x1b" + urandom(8), TIMEOUT)
        answer.addBoth(lambda _: self._answered(channel, heard))
        return asking

    def _answered(self, channel: SecureChannel, heard: int) -> None:
        lives = not channel.hasEnded and channel.heard != heard
        for asking in self._asked.pop(channel.encryptor):
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
        for channel in self._channels():
            if not channel.isInitiator and channel.road[:2] == (hop, beyond):
                self.ask(channel.encryptor).addCallback(self._judged, channel, reason)

    def _judged(self, lives: bool, channel: SecureChannel, reason: str) -> None:
        if not lives and not channel.hasEnded:
            channel.fail(f"{reason}, and the peer does not answer")
