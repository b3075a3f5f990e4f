"""
What the tests of services share: a client's node and a server's.
"""

from __future__ import annotations

from ockam_twisted.routing.addresses import Address, Route
from tests.channels.common import ChannelTestCase


class ServiceTestCase(ChannelTestCase):
    """
    Alice asks; Bob answers over plain connections and over channels.
    """

    def setUp(self) -> None:
        """
        Connect them; there is a channel too.
        """
        super().setUp()
        self.inbox = self.alice.inbox("app")
        self.ids = (self.bob.transport.listenerId, self.listener.flowId)
        self.secure = self.network.result(self.create())

    def ask(self, name: str, payload: bytes, secure: bool = False, *hops: str) -> list[bytes]:
        """
        Send a message.

        @return: What has come back since the one before.
        """
        self.inbox.messages.clear()
        first = self.secure.encryptor if secure else self.hop.route()[0]
        route = Route((first, *(Address.local(each) for each in (*hops, name))))
        self.alice.send(route, payload, self.inbox)
        self.network.pump()
        return self.inbox.payloads
