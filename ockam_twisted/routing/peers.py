"""
Who is at the other end of the secure channels of this node, now: messages
carry what was true when they came, decisions that last have to follow.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import PeerIdentity

_log = Logger()

#: Told the encryptor of a channel about whose peer something has changed.
PeerWatcher = Callable[[Address], object]


#: What is known of who is at the other end of a connection, now.
Facts = Callable[[], tuple[tuple[str, str], ...]]


class Peers:
    """
    See the module.
    """

    def __init__(self) -> None:
        self._connections: dict[Address, Facts] = {}
        self._unordered: set[Address] = set()
        self._patient: set[Address] = set()
        self._peers: dict[Address, PeerIdentity] = {}
        self._watchers: list[PeerWatcher] = []
        self._refused: set[Address] = set()

    def __len__(self) -> int:
        return len(self._peers)

    def connected(self, hop: Address, facts: Facts, isOrdered: bool = True, isPatient: bool = False) -> None:
        """
        There is a connection with somebody.

        @param facts: Says what is known of them.
        @param isOrdered: Does what is sent arrive, all of it and in order?
        @param isPatient: Is it kept for who is away, for however long?
        """
        self._connections[hop] = facts
        if isPatient:
            self._patient.add(hop)
        if not isOrdered:
            self._unordered.add(hop)

    def isOrdered(self, route: Route) -> bool:
        """
        @param route: To the other end of a channel.
        @return: Does the connection that it begins with keep order?
        """
        return route[0] not in self._unordered

    def isPatient(self, route: Route) -> bool:
        """
        @param route: To the other end of a channel.
        @return: May it be silent for however long, as what is sent is kept for it?
        """
        return route[0] in self._patient

    def disconnected(self, hop: Address) -> None:
        """
        There is not any more.
        """
        self._connections.pop(hop, None)
        self._unordered.discard(hop)
        self._patient.discard(hop)

    def ofConnection(self, route: Route) -> tuple[tuple[str, str], ...]:
        """
        @param route: To the other end of a channel.
        @return: What is known of who that is besides; nothing if it is not at
            the other end of a connection, but farther on.
        """
        facts = self._connections.get(route[0]) if len(route) == 2 else None
        return () if facts is None else facts()

    def find(self, encryptor: Address) -> PeerIdentity | None:
        """
        Who is behind an encryptor.
        """
        return self._peers.get(encryptor)

    def ofIdentifier(self, identifier: str) -> list[PeerIdentity]:
        """
        The channels of one identity.
        """
        return [each for each in self._peers.values() if each.identifier == identifier]

    def add(self, peer: PeerIdentity) -> None:
        """
        There is a new channel.
        """
        self._peers[peer.encryptor] = peer

    def update(self, peer: PeerIdentity) -> None:
        """
        Something else is known of the peer of a channel.
        """
        if peer.encryptor in self._peers:
            self._peers[peer.encryptor] = peer
            self.changed(peer.encryptor)

    def changed(self, encryptor: Address) -> None:
        """
        Decisions about the peer of a channel have to be made anew.
        """
        for watcher in list(self._watchers):
            try:
                watcher(encryptor)
            except Exception:
                # The others must hear of it nevertheless.
                _log.failure(
                    "A change of the peer behind {encryptor} was not followed",
                    encryptor=str(encryptor),
                    event="peer-change-failed",
                )

    def refuse(self, encryptor: Address) -> None:
        """
        The peer of a channel is not accepted any more: what it has ends now,
        while it can still be told, and then its channel.
        """
        if encryptor in self._peers:
            self._refused.add(encryptor)
        self.changed(encryptor)

    def isRefused(self, encryptor: Address) -> bool:
        """
        Was it L{refused <refuse>}?
        """
        return encryptor in self._refused

    def remove(self, encryptor: Address) -> None:
        """
        A channel is over.
        """
        self._peers.pop(encryptor, None)
        self._refused.discard(encryptor)

    def watch(self, watcher: PeerWatcher) -> Callable[[], None]:
        """
        Be told of changes.

        @return: Call it to be told no more.
        """
        self._watchers.append(watcher)

        def unwatch() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

        return unwatch
