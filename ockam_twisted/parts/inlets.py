"""
A place where clients are accepted, and the way from there.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from ockam_twisted.attestation import Attestation, inletTrust, outletAuthority
from ockam_twisted.authority.ticket import Ticket
from ockam_twisted.config import InletConfig, NodeConfig
from ockam_twisted.errors import StateUnusable
from ockam_twisted.identity.identifiers import Identifier
from ockam_twisted.node import Node
from ockam_twisted.parts.difference import Key
from ockam_twisted.parts.doors import Door
from ockam_twisted.parts.part import Leaving, Part
from ockam_twisted.portals.datagraminlet import DatagramInlet
from ockam_twisted.sessions.choice import Choice
from ockam_twisted.sessions.destination import OutletSession, destinations, readPinnedWay
from ockam_twisted.upkeep import MakeSessions


def checkHearing(host: str, port: int) -> None:
    """
    Bind a UDP port, and close it.

    @raise StateUnusable: It cannot be had now.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((host, port))
    except OSError as error:
        raise StateUnusable(f"cannot hear datagrams at {host}:{port}: {error.strerror or error}") from None


class LeftWay(Part):
    """
    The way of an inlet to an outlet where no new streams go any more.
    """

    def __init__(self, key: Key, choice: Choice, session: OutletSession) -> None:
        super().__init__((key[0], f"{key[1]}: {session.label}"), None)
        self._choice = choice
        self._session = session

    @property
    def inUse(self) -> int:
        """
        See L{Part.inUse}.
        """
        established = self._session.established
        return int(established is not None and established.isUsed())

    def retire(self) -> None:
        """
        New streams go elsewhere already.
        """

    def revive(self) -> None:
        """
        It does not come back: another one leads there then.
        """

    def end(self) -> None:
        """
        See L{Part.end}.
        """
        self._choice.part(self._session)


class InletPart(Part):
    """
    See the module.
    """

    config: InletConfig
    _log = Logger()

    def __init__(
        self,
        key: Key,
        config: InletConfig,
        node: Node,
        attestation: Attestation,
        whole: Callable[[], NodeConfig],
        leaving: Leaving,
        say: Callable[[str, str], object],
    ) -> None:
        """
        @param whole: The configuration of the node.
        @param leaving: Takes ways that are left.
        @param say: Shows a label and a value.
        """
        super().__init__(key, config)
        self.door: Door | None = None
        self._node = node
        self._attestation = attestation
        self._whole = whole
        self._leaving = leaving
        self._say = say
        self._attestedBy = outletAuthority(whole(), config)
        self._choice = node.addChoice(self._way())
        self.inlet = node.addInlet(self._choice, config.connectTimeout, config.tellsClient)
        self.datagrams: DatagramInlet | None = None

    def _way(self) -> MakeSessions:
        """
        What makes the sessions that lead to its outlets.
        """
        node, config, attestation = self._node, self.config, self._attestation
        ways, walk = [readPinnedWay(each) for each in config.to], attestation.walkFor(config)
        if config.isPaired:
            ticket = Ticket.fromText(config.ticket) if config.ticket else None
            paired, retriever = partial(self._say, "Paired with"), partial(attestation.retrieverFor, config)
            return node.pairedWay(ticket, ways, paired, retriever, config.name, walk)
        trust = None if config.saysWho else inletTrust(self._whole(), config)
        return node.wayTo(destinations(ways, trust), walk, config.name)

    def hear(self) -> None:
        """
        Hear datagrams of clients, if that is asked for.

        @raise StateUnusable: The port cannot be had.
        """
        at = self.config.udpListen
        if at is None:
            return
        try:
            self.datagrams = self._node.createDatagramInlet(at, self._choice, self.config.udpIdle)
        except CannotListenError as error:
            why = getattr(error.socketError, "strerror", None) or error
            raise StateUnusable(f"cannot hear datagrams at {at[0]}:{at[1]}: {why}") from None

    def deafen(self) -> Deferred[None]:
        """
        Hear none any more.
        """
        datagrams, self.datagrams = self.datagrams, None
        return succeed(None) if datagrams is None else self._node.removeDatagramPortal(datagrams)

    def enter(self, door: Door) -> None:
        """
        Accept clients.
        """
        self.door = door
        self.inlet.listen(door)

    @property
    def inUse(self) -> int:
        """
        See L{Part.inUse}.
        """
        return len(self.inlet.streams)

    def change(self, config: InletConfig) -> None:
        """
        See L{Part.change}: streams that may stay, do.
        """
        before, self.config = self.config, config
        attestedBy, self._attestedBy = self._attestedBy, outletAuthority(self._whole(), config)
        if before.udpListen != config.udpListen:
            self._hearElsewhere()
        elif self.datagrams is not None:
            self.datagrams.idle = config.udpIdle
        self.inlet.connectTimeout = config.connectTimeout
        self.inlet.tellsClient = config.tellsClient
        isTrustOther = (before.trust, before.ticket, before.authority, attestedBy) != (
            config.trust,
            config.ticket,
            config.authority,
            self._attestedBy,
        )
        if not isTrustOther and before.to == config.to:
            return
        left = self._choice.become(self._way(), isTrustOther)
        if isTrustOther:
            accepted = [each.destination.trust for each in self._choice.sessions]
            self.inlet.recheck(lambda text: any(trust.accepts(Identifier(text)) for trust in accepted))
        for session in left:
            self._leaving.leave(
                LeftWay(self.key, self._choice, session), 0.0 if isTrustOther else self._whole().drainTimeout
            )

    def _hearElsewhere(self) -> None:
        """
        Hear datagrams at another port; where that cannot be had, at the same
        one as before.
        """
        before, self.datagrams = self.datagrams, None
        try:
            self.hear()
        except StateUnusable as error:
            self._log.error("Datagrams cannot be heard there: {reason}", reason=str(error), event="datagrams-unheard")
            self.datagrams = before
        else:
            if before is not None:
                self._node.removeDatagramPortal(before)

    def retire(self) -> None:
        """
        See L{Part.retire}.
        """
        self.door = None
        self.inlet.drain()
        self.deafen()

    def revive(self) -> None:
        """
        See L{Part.revive}: it gets a door as any other.
        """
        self._hearElsewhere()

    def end(self) -> Deferred[None]:
        """
        See L{Part.end}.
        """
        ended = self._node.removePortal(self.inlet)
        return ended.addCallback(lambda _: self._node.removeChoice(self._choice))
