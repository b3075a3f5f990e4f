"""
A relay that the node is reached through.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.logger import Logger

from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.config import RegistrationConfig
from ockam_twisted.identity.trust import TrustIdentifier
from ockam_twisted.node import LISTENER_ADDRESSES, Node
from ockam_twisted.parts.difference import Key
from ockam_twisted.parts.part import Part
from ockam_twisted.places import clientEndpoint
from ockam_twisted.relays.client import Registration
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.changing import Current
from ockam_twisted.sessions.enrolment import enrol
from ockam_twisted.sessions.registration import RegistrationAttempt
from ockam_twisted.sessions.retriever import redeemedSetting
from ockam_twisted.sessions.session import Session


class RegistrationPart(Part):
    """
    See the module.
    """

    config: RegistrationConfig
    _log = Logger()

    def __init__(
        self,
        key: Key,
        config: RegistrationConfig,
        node: Node,
        registered: Callable[[RegistrationConfig, str], object],
    ) -> None:
        """
        @param registered: Told the address that the relay has given us.
        """
        super().__init__(key, config)
        self._node = node
        self._told = registered
        self._current = Current(self._attempt())
        self._session = node.addSession(Session(node.reactor, self._current, self._label))

    @property
    def _label(self) -> str:
        return f"relay {self.config.label}"

    def _attempt(self) -> RegistrationAttempt:
        node, config = self._node, self.config
        pin, enrolling, ticket = None, None, Ticket.fromText(config.ticket) if config.ticket else None
        if ticket is not None and ticket.peer is not None:
            pin = TrustIdentifier(ticket.peer)
            relay: Any = MultiAddr(list(ticket.ways[0])[:-1])
            if node.store.setting(redeemedSetting(ticket.digest)) is None:
                enrolling = partial(self._enrol, ticket)
        elif config.relay.startswith("/"):
            relay = MultiAddr.fromText(config.relay)
        else:
            relay = clientEndpoint(node.pool, config.relay)
        name = config.name or str(node.identifier)
        return RegistrationAttempt(
            node.walk,
            relay,
            self._label,
            name,
            self._reachable,
            self._registered,
            self._proven,
            pin=pin,
            enrol=enrolling,
        )

    def _reachable(self, flowId: str) -> None:
        for name in (*LISTENER_ADDRESSES, "echo"):
            self._node.makeReachable(name, (flowId,))

    def _registered(self, made: Registration) -> None:
        self._told(self.config, made.address.value.decode("ascii"))

    async def _enrol(self, ticket: Ticket) -> None:
        assert ticket.peer is not None and ticket.code is not None
        await enrol(self._node.walk, ticket.ways[0], ticket.peer, ticket.code)
        await self._node.store.storeSetting(redeemedSetting(ticket.digest), b"")

    def _proven(self, identifier: str) -> None:
        """
        A relay is not trusted, but that it is another one is worth a line.
        """
        store, setting = self._node.store, f"relay-identity:{self.config.relay}"
        before = store.setting(setting)
        if before is not None and before != identifier.encode("ascii"):
            self._log.warn(
                "{label} has another identity than before: {now} instead of {before}",
                label=self._label,
                now=identifier,
                before=before.decode("ascii", "replace"),
                event="relay-identity-changed",
                audit="changed",
            )
        if before != identifier.encode("ascii"):
            store.storeSetting(setting, identifier.encode("ascii")).addErrback(
                lambda failure: self._log.warn(
                    "The identity of {label} was not stored: {reason}",
                    label=self._label,
                    reason=failure.getErrorMessage(),
                    event="relay-identity-not-stored",
                )
            )

    @property
    def inUse(self) -> int:
        """
        See L{Part.inUse}: is anybody's channel behind it?
        """
        established = self._session.established
        return int(established is not None and established.isUsed())

    def change(self, config: RegistrationConfig) -> None:
        """
        See L{Part.change}: with another ticket it registers anew.
        """
        self.config = config
        self._current.become(self._attempt(), self._session, True)

    def retire(self) -> None:
        """
        It stays registered for as long as it is used: there is no word for
        giving a name back.
        """

    def revive(self) -> None:
        """
        It is registered.
        """

    def end(self) -> None:
        """
        See L{Part.end}.
        """
        self._node.removeSession(self._session)
