"""
The way that an inlet's bytes go, one step after the other, to see which one
fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol

from ockam_twisted.errors import ConnectionClosed, NotAccepted, OckamError, PeerNotTrusted, TimedOut
from ockam_twisted.interfaces import ITrustPolicy
from ockam_twisted.portals.transport import openStream
from ockam_twisted.routing.addresses import Address
from ockam_twisted.routing.multiaddr import MultiAddr
from ockam_twisted.sessions.static import StaticWay
from ockam_twisted.visits import findings
from ockam_twisted.visits.findings import FAILED, OK, SKIPPED, STEPS, UNKNOWN, Finding
from ockam_twisted.visits.road import Road
from ockam_twisted.visits.visit import Visit

#: Seconds that an authority has to attest who we are, and that a stranger is
#: listened to.
CREDENTIAL_TIMEOUT = 15.0
HEARD_OUT = 1.0


@define
class Report:
    """
    What a check finds.

    @ivar way: What it is about; empty: what all ways have in common.
    @ivar findings: In order.
    """

    way: str
    findings: list[Finding] = field(factory=list)

    @property
    def isGood(self) -> bool:
        """
        Has nothing failed?
        """
        return not any(each.state == FAILED for each in self.findings)


class Check:
    """
    See the module.
    """

    def __init__(self, reactor: Any, visit: Visit, tell: Callable[[Report, Finding], object]) -> None:
        """
        @param visit: Not opened.
        @param tell: Told of each step, when it is done.
        """
        self._reactor = reactor
        self._visit = visit
        self._tell = tell
        self.reports: list[Report] = []

    def _begin(self, way: str) -> Report:
        report = Report(way)
        self.reports.append(report)
        return report

    def _note(self, report: Report, *them: Finding) -> bool:
        """
        @return: May the check go on?
        """
        for each in them:
            report.findings.append(each)
            self._tell(report, each)
        return report.isGood

    # ------------------------------------------------------- what is common

    async def run(self) -> bool:
        """
        Check everything.

        @return: Has nothing failed?
        """
        common = self._begin("")
        visit = self._visit
        try:
            await visit.open()
            them = visit.destinations()
        except OckamError as error:
            advice = "mend the options, or the state folder, as that says"
            self._note(common, findings.failed("options", str(error), findings.OPTIONS, advice))
            return False
        self._note(common, Finding("options", OK, self._whoAndWhereTo(sum(len(each.ways) for each in them))))
        await self._checkTicket(common)
        await self._checkCredential(common)
        # Without these it may still be seen how far one comes.
        for destination in them:
            for way in destination.ways:
                report = self._begin(str(way))
                await self._checkWay(report, way, destination.trust)
                self._skip(report)
        return all(each.isGood for each in self.reports)

    def _whoAndWhereTo(self, ways: int) -> str:
        visit = self._visit
        new = " (a new one: there is none in the state folder)" if visit.isNew else ""
        return f"we are {visit.identifier}{new}; {ways} way{'s' * (ways != 1)} to try"

    async def _checkTicket(self, report: Report) -> None:
        visit = self._visit
        ticket = visit.ticket
        if ticket is None:
            return
        if ticket.code is None:
            found = "good so far, and not redeemed: --redeem does that, as an inlet would"
            self._note(report, Finding("ticket", UNKNOWN, found))
        elif ticket.authority is None:
            try:
                await visit.redeem()
            except Exception as error:
                self._note(report, findings.ofTicket(error))
            else:
                self._note(report, Finding("ticket", OK, "redeemed: from now on none is needed"))

    async def _checkCredential(self, report: Report) -> None:
        visit = self._visit
        retriever = visit.retriever
        if retriever is None:
            return
        if visit.ticket is not None and visit.ticket.code is None:
            found = "the authority attests nothing of us before the ticket was redeemed"
            self._note(report, Finding("credential", UNKNOWN, found))
            return
        waiting = retriever.whenTried()
        waiting.addTimeout(CREDENTIAL_TIMEOUT, self._reactor, lambda *_: None)
        await waiting
        authority = str(retriever.authority)
        if visit.node.requireParty().credential:
            self._note(report, Finding("credential", OK, f"the authority {authority} attests who we are"))
        else:
            self._note(report, findings.ofCredential(authority, retriever.why))

    def _skip(self, report: Report) -> None:
        """
        What was not reached, of the last steps.
        """
        done = [each.step for each in report.findings]
        first = STEPS.index(done[-1]) + 1
        for step in STEPS[first:]:
            if step != "relay":
                self._note(report, Finding(step, SKIPPED, "not reached"))

    # ------------------------------------------------------------- each way

    async def _checkWay(self, report: Report, way: MultiAddr, trust: ITrustPolicy) -> None:
        road = Road(self._reactor, self._visit.node, way)
        try:
            if await self._dial(report, road) and await self._findName(report, road):
                if await self._secure(report, road, trust):
                    await self._knock(report, road)
        finally:
            road.close()

    async def _dial(self, report: Report, road: Road) -> bool:
        began = self._reactor.seconds()
        try:
            addresses = await road.resolve()
        except (OSError, OckamError) as error:
            return self._note(report, findings.ofName(road.host, error))
        found = f"{road.host} is {' and '.join(addresses)}"
        if not addresses:
            found = f"{road.at} has no name to look up"
        elif addresses == [road.host]:
            found = f"{road.host} is an address, not a name"
        self._note(report, Finding("name", OK, found, self._reactor.seconds() - began))
        owner = findings.RELAY if road.relayName else findings.FAR
        try:
            connected, greeted = await road.dial()
        except CancelledError:
            raise
        except Exception as error:
            if not road.isConnected:
                return self._note(report, findings.ofDial(road.at, owner, error))
            self._note(report, Finding("dial", OK, f"connected with {road.at}"))
            isWeb = isinstance(error, TimedOut) and await road.sniff()
            return self._note(report, findings.ofVersion(road.at, owner, error, isWeb))
        self._note(report, Finding("dial", OK, f"connected with {road.at}", connected))
        return self._note(report, Finding("version", OK, "it speaks our version of Ockam's protocol", greeted))

    async def _findName(self, report: Report, road: Road) -> bool:
        self._isThere = False
        if not road.relayName:
            return True
        try:
            found = await road.findName()
        except OckamError as error:
            return self._note(report, findings.ofVersion(road.at, findings.RELAY, error))
        if found.isAbsent:
            return self._note(report, findings.ofAbsentName(road.relayName))
        self._isThere = found.nameEcho is not None
        if self._isThere:
            text = f"the relay has {road.relayName}, and a node answers behind it"
            return self._note(report, Finding("relay", OK, text, found.nameEcho))
        text = "nothing answers through the name; that need not mean anything"
        return self._note(report, Finding("relay", UNKNOWN, text))

    async def _secure(self, report: Report, road: Road, trust: ITrustPolicy) -> bool:
        visit = self._visit
        for leg in road.legs:
            if not leg.listener:
                continue
            behind = "/".join(leg.workers) or road.at
            began = self._reactor.seconds()
            try:
                channel = await road.secure(leg, trust)
            except PeerNotTrusted as error:
                self._note(report, Finding("channel", OK, f"a handshake with {leg.listener} behind {behind}"))
                return self._note(report, findings.ofIdentity(error))
            except OckamError as error:
                return self._note(report, findings.ofChannel(leg.listener, behind, self._isThere, error))
            took = self._reactor.seconds() - began
            self._note(report, Finding("channel", OK, f"a handshake with {leg.listener} behind {behind}", took))
        if not road.parts.channels:
            self._note(report, Finding("channel", UNKNOWN, "there is none in this way: nobody proves who they are"))
            return True
        self._note(report, Finding("identity", OK, f"{channel.peerIdentifier} is there, as it must be"))
        if visit.ticket is not None and visit.ticket.code is None:
            return await self._hearOut(report, road)
        try:
            settled = await road.settle()
        except NotAccepted as error:
            isPaired = visit.pairing is not None
            return self._note(report, findings.ofRefusal(str(visit.identifier), str(error), visit.isNew, isPaired))
        except ConnectionClosed as error:
            return self._note(report, findings.ofClosed(str(error)))
        if settled is None:
            return self._note(report, Finding("trust", UNKNOWN, "it has no echo, so that it cannot be asked"))
        return self._note(report, Finding("trust", OK, "it accepts us", settled))

    async def _hearOut(self, report: Report, road: Road) -> bool:
        """
        With a ticket that is not to be redeemed there is nothing to be asked;
        but who has no open ticket ends the channel by itself.
        """
        waited: Deferred[None] = Deferred()
        self._reactor.callLater(HEARD_OUT, waited.callback, None)
        await waited
        channel = road.parts.channels[-1]
        if channel.hasEnded:
            why = "no ticket is open there: it was used, revoked, or has expired"
            advice = "ask for a new ticket (`ockam-twisted ticket create` over there)"
            self._note(report, findings.failed("trust", why, findings.FAR, advice))
        else:
            self._note(report, Finding("trust", UNKNOWN, "we are a stranger there until the ticket is redeemed"))
        return False

    async def _knock(self, report: Report, road: Road) -> None:
        """
        Open a stream, and close it again.
        """
        workers = [Address.local(each) for each in road.legs[-1].workers] if not road.legs[-1].listener else []
        route = road.route
        for worker in workers:
            route = route.append(worker)
        inlet = self._visit.node.addInlet(StaticWay(route), self._visit.inlet.connectTimeout)
        at = road.legs[-1].workers[-1] if workers else "outlet"
        began = self._reactor.seconds()
        try:
            protocol: Any = await openStream(inlet, Factory.forProtocol(Protocol))
        except OckamError as error:
            self._note(report, *findings.ofStream(at, error))
            return
        took = self._reactor.seconds() - began
        protocol.transport.loseConnection()
        self._note(report, Finding("outlet", OK, f"an outlet answers at the address {at}"))
        self._note(report, Finding("policy", OK, "we may use it"))
        self._note(report, Finding("target", OK, "the target takes connections", took))


def asJSON(reports: Iterable[Report]) -> list[dict[str, Any]]:
    """
    The same for programs.
    """
    return [
        {"way": each.way, "ok": each.isGood, "steps": [finding.asJSON() for finding in each.findings]}
        for each in reports
    ]
