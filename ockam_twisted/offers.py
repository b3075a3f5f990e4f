"""
What a node shows people: its identifier, how it is reached, and the ticket
that lets somebody in.
"""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ockam_twisted.administration import WAYS, Administration, encodeWays
from ockam_twisted.authority.ticket import MAX_WAYS
from ockam_twisted.config import NodeConfig, RegistrationConfig, hostPort
from ockam_twisted.errors import InvalidMultiAddr, OckamError
from ockam_twisted.identity.members import EnrollmentToken, Member
from ockam_twisted.node import Node
from ockam_twisted.relays.names import RELAY_PREFIX
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.transports.roads import componentsOfString, hostComponents, roadOfString

#: Seconds that a ticket waits for more relays than the first.
OTHER_RELAYS = 2.0


def announce(label: str, value: str) -> None:
    """
    Write what people copy: on a line of its own, to the true standard output,
    also where the log has taken C{sys.stdout}.
    """
    out = sys.__stdout__
    if out is not None:
        try:
            out.write(f"{label}: {value}\n")
            out.flush()
        except (OSError, ValueError):
            # A daemon has no terminal; the log has the same line.
            pass


def road(host: str, port: int) -> MultiAddr:
    """
    The MultiAddr of a host and a port.
    """
    return MultiAddr(hostComponents(host, port))


def roadOf(registration: RegistrationConfig) -> MultiAddr | None:
    """
    How a relay is reached, from what the operator has written; L{None} if
    that says nothing to others.
    """
    label = registration.label
    if label.startswith("/"):
        return MultiAddr.fromText(label)
    try:
        said = componentsOfString(label)
    except ValueError:
        return None
    if said is not None:
        return MultiAddr(said)
    match = re.match(r"tcp6?:(?:host=)?((?:\\:|[^:])+):(?:port=)?([0-9]+)", label)
    if match:
        return road(match[1].replace("\\:", ":"), int(match[2]))
    try:
        return road(*hostPort(label, "--relay"))
    except (OckamError, ValueError):
        return None


def _listenerRoads(config: NodeConfig) -> list[MultiAddr]:
    """
    How the listeners are reached from elsewhere.
    """
    tickets = config.tickets
    if tickets is not None and tickets.reachedAt:
        return [road(host, port) for host, port in tickets.reachedAt]
    roads = []
    for text in config.listeners:
        found = roadOfString(text)
        if found is not None and found[0].isMeetingPlace:
            roads.append(MultiAddr(componentsOfString(text) or ()))
            continue
        match = re.match(r"tcp6?:(?:port=)?([0-9]+)", text)
        if match is None or match[1] == "0":
            continue
        interface = re.search(r":interface=((?:\\:|[^:])+)", text)
        host = interface[1].replace("\\:", ":") if interface else ""
        if host in ("", "0.0.0.0", "::"):
            host = socket.gethostname()
        try:
            roads.append(road(host, int(match[1])))
        except InvalidMultiAddr:
            continue
    return roads


class Offers(Service):
    """
    See the module.
    """

    _log = Logger()

    def __init__(
        self, config: NodeConfig, node: Node, administration: Administration, say: Callable[[str, str], None]
    ) -> None:
        """
        @param say: Shows a label and a value, once each.
        """
        self._config = config
        self._node = node
        self._administration = administration
        self._say = say
        self._forwarding: dict[RegistrationConfig, MultiAddr] = {}
        self._registered: set[RegistrationConfig] = set()
        self._offered = False
        self._waiting: IDelayedCall | None = None
        node.authority.redeemed.append(self._redeemed)

    def startService(self) -> None:
        """
        Offer what can be offered without a relay.
        """
        super().startService()
        self._keep()
        if not self._config.registrations:
            self._reachable()
        elif _listenerRoads(self._config):
            self._offerSoon()

    def stopService(self) -> None:
        """
        Offer nothing any more.
        """
        super().stopService()
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def registered(self, registration: RegistrationConfig, address: str) -> None:
        """
        A relay has given us an address.
        """
        self._say("Forwarding address", address)
        way = roadOf(registration)
        if way is not None:
            self._forwarding[registration] = MultiAddr([*way, ("service", address)])
        self._registered.add(registration)
        self._reachable()

    def change(self, config: NodeConfig) -> None:
        """
        The configuration is another one.
        """
        self._config = config
        self._registered.intersection_update(config.registrations)
        for registration in self._forwarding.keys() - set(config.registrations):
            del self._forwarding[registration]
        self._keep()

    def ways(self) -> tuple[MultiAddr, ...]:
        """
        How this node is reached from elsewhere: through the relays where it
        is registered, directly, and through those where it will be: a relay
        that is down now may be the only one that is up later.
        """
        registrations = self._config.registrations
        expected = [self._expected(each) for each in registrations if each not in self._registered]
        roads = [
            *(self._forwarding[each] for each in registrations if each in self._forwarding),
            *_listenerRoads(self._config),
            *(way for way in expected if way is not None),
        ]
        end: list[tuple[str, Any]] = [("secure", "api")]
        if self._config.outlets:
            end.append(("service", self._config.outlets[0].address))
        return tuple(dict.fromkeys(MultiAddr([*each, *end]) for each in roads))[:MAX_WAYS]

    def _expected(self, registration: RegistrationConfig) -> MultiAddr | None:
        road = roadOf(registration)
        address = f"{RELAY_PREFIX}{registration.name or self._node.identifier}"
        return None if road is None else MultiAddr([*road, ("service", address)])

    def _keep(self) -> None:
        """
        For tickets that are made later, maybe while nothing runs.
        """
        store, encoded = self._node.store, encodeWays(self.ways())
        if store.setting(WAYS) != encoded:
            store.storeSetting(WAYS, encoded).addErrback(
                lambda failure: self._log.warn(
                    "The ways to this node were not stored: {reason}",
                    reason=failure.getErrorMessage(),
                    event="ways-not-stored",
                )
            )

    def _reachable(self) -> None:
        self._keep()
        if self._config.authorityService is not None:
            for way in self.ways():
                self._say("Authority", f"{self._node.identifier}@{way}")
        if self._registered.issuperset(self._config.registrations):
            self._offer()
        else:
            self._offerSoon()

    def _offerSoon(self) -> None:
        """
        Give the other relays a moment: what they are like, and whether they
        give us another name than we expect, is better known then.
        """
        if self._waiting is None and not self._offered:
            self._waiting = self._node.reactor.callLater(OTHER_RELAYS, self._offer)

    def _offer(self) -> None:
        if self._waiting is not None:
            if self._waiting.active():
                self._waiting.cancel()
            self._waiting = None
        tickets = self._config.tickets
        if tickets is None or not tickets.atStart or self._offered or self._node.authority.members():
            return
        self._offered = True

        async def offer() -> None:
            try:
                made = await self._administration.createTicket(
                    uses=tickets.uses, expires=tickets.expires, isStartup=True
                )
            except OckamError as error:
                self._log.warn("No ticket: {reason}", reason=str(error), event="ticket-not-made")
                return
            announce("Ticket", made["ticket"])
            self._log.info(
                "A ticket for {uses} that expires in {minutes:g} minutes is on standard output; more with "
                "`ockam-twisted ticket create --command {command}`",
                uses="one inlet" if tickets.uses == 1 else tickets.uses,
                minutes=round(tickets.expires / 60, 1),
                command=self._config.command,
                event="ticket-shown",
            )

        Deferred.fromCoroutine(offer())

    def _redeemed(self, token: EnrollmentToken, member: Member) -> None:
        announce("Ticket used by", str(member.identifier))
        self._log.info(
            "Ticket {ticket} was used by {peer}, who is a member now; to undo that: "
            "ockam-twisted member remove {peer} --command {command}",
            ticket=token.id,
            peer=str(member.identifier),
            command=self._config.command,
            audit="allowed",
            event="ticket-used",
        )
