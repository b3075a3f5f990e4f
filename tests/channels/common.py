"""
What the tests of secure channels share: two nodes with a connection between
them, and ways to meddle with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from ockam_twisted.channels.channel import SecureChannel
from ockam_twisted.channels.listener import SecureChannelListener
from ockam_twisted.identity.trust import TrustIdentifier
from ockam_twisted.interfaces import ITrustPolicy, IVault
from ockam_twisted.testing import Inbox, MemoryNetwork, MemoryNode
from ockam_twisted.vault.software import SoftwareVault
from ockam_twisted.wire.messages import decodeTransport, encodeTransport


@implementer(IVault)
class LateVault:
    """
    A vault that takes its time, as a token would.
    """

    signingKind = 0

    def __init__(self, clock: Clock) -> None:
        self.real = SoftwareVault()
        self.delay = 0.0
        self._clock = clock

    def _late(self, result: Deferred[Any]) -> Deferred[Any]:
        if not self.delay:
            return result
        return result.addCallback(lambda value: deferLater(self._clock, self.delay, lambda: value))

    def generateSigningKey(self, kind: int = 0) -> Deferred[bytes]:
        return self._late(self.real.generateSigningKey(kind))

    def verifyingKey(self, handle: bytes) -> Deferred[Any]:
        return self._late(self.real.verifyingKey(handle))

    def sign(self, handle: bytes, data: bytes) -> Deferred[Any]:
        return self._late(self.real.sign(handle, data))

    def generateAgreementKey(self, persistent: bool = False) -> Deferred[bytes]:
        return self._late(self.real.generateAgreementKey(persistent))

    def agreementPublicKey(self, handle: bytes) -> Deferred[bytes]:
        return self._late(self.real.agreementPublicKey(handle))

    def agree(self, handle: bytes, publicKey: bytes) -> Deferred[bytes]:
        return self._late(self.real.agree(handle, publicKey))

    def deleteKey(self, handle: bytes) -> Deferred[None]:
        return self._late(self.real.deleteKey(handle))


def changed(frame: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """
    A transport message with another payload.
    """
    onward, back, payload = decodeTransport(frame)
    return encodeTransport(onward, back, change(payload))


class ChannelTestCase(SynchronousTestCase):
    """
    Alice connects to Bob, who has a listener at C{api} that trusts her.

    @ivar logged: What was logged at warning level and above.
    """

    def setUp(self) -> None:
        self.logged: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self._logged)
        self.addCleanup(globalLogPublisher.removeObserver, self._logged)
        self.network = MemoryNetwork()
        self.vault = LateVault(self.network.clock)
        self.alice = MemoryNode(self.network, "alice")
        self.bob = MemoryNode(self.network, "bob", self.vault)
        self.hop = self.alice.connect(self.bob)
        self.listener = self.listen()

    def _logged(self, event: Any) -> None:
        if event.get("log_level", LogLevel.info) >= LogLevel.warn:
            self.logged.append(event)

    def lines(self) -> list[str]:
        """
        What was logged, as text.
        """
        return [event["log_format"].format(**event) for event in self.logged if event.get("log_format")]

    def listen(self) -> SecureChannelListener:
        """
        Start Bob's listener.
        """
        return self.bob.listen(TrustIdentifier(self.alice.identifier))

    def create(self, trust: ITrustPolicy | None = None, **options: Any) -> Deferred[SecureChannel]:
        """
        Alice asks for a channel to Bob.
        """
        return self.alice.createChannel(self.hop.route("api"), trust or TrustIdentifier(self.bob.identifier), **options)

    def channel(self, **options: Any) -> tuple[SecureChannel, SecureChannel]:
        """
        Make a channel.

        @return: Alice's end and Bob's end.
        """
        before = set(self.listener.channels)
        mine = self.network.result(self.create(**options))
        [theirs] = set(self.listener.channels) - before
        return mine, theirs

    def inboxes(self) -> tuple[Inbox, Inbox]:
        """
        A worker of Alice, and one of Bob that can be reached through channels
        of his listener only.
        """
        return self.alice.inbox("alice's"), self.bob.inbox("bob's", self.listener.flowId)
