"""
What each step of a check finds, whose it is likely to be, and what to do.
"""

from __future__ import annotations

import socket
from typing import Any

from attrs import asdict, frozen
from twisted.internet import error as network

from ockam_twisted.errors import (
    ConnectionClosed,
    EnrollmentRefused,
    FrameTooLarge,
    InvalidTicket,
    PeerNotTrusted,
    StreamNotOpened,
    TimedOut,
    VersionMismatch,
)
from ockam_twisted.routing.addresses import printable
from ockam_twisted.wire.extension import POLICY, REASONS, REFUSED, SHUTTING_DOWN, TIMED_OUT, UNREACHABLE
from ockam_twisted.wire.frames import VERSION

#: The steps, in order.
STEPS = (
    "options",
    "ticket",
    "credential",
    "name",
    "dial",
    "version",
    "relay",
    "channel",
    "identity",
    "trust",
    "outlet",
    "policy",
    "target",
)

#: How a step went.
OK, FAILED, UNKNOWN, SKIPPED = "ok", "failed", "unknown", "skipped"

#: Whose fault it may be.
OPTIONS = "your options"
NETWORK = "the network"
RELAY = "the relay's operator"
FAR = "the far side"
TARGET = "the target"
AUTHORITY = "the authority's operator"

#: First bytes of what is no Ockam node: how other protocols begin.
_OTHERS = {
    ord("H"): "a web server",
    ord("<"): "a web server",
    ord("S"): "an ssh server",
    ord("2"): "a mail or file server",
    ord("+"): "a mail server",
    ord("-"): "a Redis server",
    0x15: "a server that wants TLS",
    0x16: "a server that wants TLS",
}


@frozen
class Finding:
    """
    How one step went.

    @ivar step: One of L{STEPS}.
    @ivar state: L{OK}, L{FAILED}, L{UNKNOWN} or L{SKIPPED}.
    @ivar found: What was found: one line.
    @ivar seconds: How long it took; L{None}: that says nothing.
    @ivar whose: Of what failed: whose fault it is likely to be.
    @ivar advice: Of what failed: what to do.
    """

    step: str
    state: str
    found: str
    seconds: float | None = None
    whose: str = ""
    advice: str = ""

    def asJSON(self) -> dict[str, Any]:
        """
        The same, of nothing but what JSON can hold.
        """
        return asdict(self)


def failed(step: str, found: str, whose: str, advice: str) -> Finding:
    """
    A step that failed.

    @param found: May hold what others say.
    """
    return Finding(step, FAILED, printable(found, 400), None, whose, advice)


def reasonOf(error: BaseException) -> str:
    """
    What an error says.
    """
    if isinstance(error, OSError) and error.strerror:
        return str(error.strerror)
    return str(error) or type(error).__name__


def ofName(host: str, error: Exception) -> Finding:
    """
    The host has no address.
    """
    if isinstance(error, socket.gaierror) and error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None)):
        return failed(
            "name", f"there is no host {host}", f"{OPTIONS}, or {NETWORK}", "mend the name in the way, or in DNS"
        )
    return failed(
        "name",
        f"{host} cannot be looked up: {reasonOf(error)}",
        NETWORK,
        "see that this machine's name server answers, or give the address in place of the name",
    )


def ofDial(at: str, owner: str, error: Exception) -> Finding:
    """
    There is no connection.

    @param owner: Whose node should be there.
    """
    if isinstance(error, network.ConnectionRefusedError):
        return failed(
            "dial",
            f"the machine is there, but nobody listens on {at}",
            f"{owner}, or {OPTIONS}",
            "start the node there, or mend the port in the way",
        )
    if isinstance(error, network.TimeoutError | TimedOut):
        return failed(
            "dial",
            f"no answer at all from {at}",
            NETWORK,
            "see that a firewall lets this port through, that the machine is on, and that the address is right",
        )
    return failed(
        "dial",
        f"no connection with {at}: {reasonOf(error)}",
        NETWORK,
        "see that this machine is connected, and has a route to that address",
    )


def ofVersion(at: str, owner: str, error: Exception, isWeb: bool = False) -> Finding:
    """
    Who is there does not speak our protocol, or not our version of it.

    @param isWeb: Does a web server answer there?
    """
    if isinstance(error, VersionMismatch) and 0 <= error.found < 16:
        return failed(
            "version",
            f"{at} speaks version {error.found} of the protocol, and we version {VERSION[0]}",
            owner,
            "use the same version of the protocol on both sides: a newer program here, or there",
        )
    if isWeb or isinstance(error, VersionMismatch | FrameTooLarge):
        what = "a web server" if isWeb else _OTHERS.get(getattr(error, "found", -1), "")
        seems = f": it seems to be {what}" if what else ""
        return failed(
            "version",
            f"{at} is no Ockam node{seems}",
            OPTIONS,
            "mend the host or the port in the way: it must be that of a relay, or of an outlet with --listen",
        )
    if isinstance(error, TimedOut):
        return failed(
            "version",
            f"{at} takes the connection and says nothing",
            f"{OPTIONS}, or {owner}",
            "see that it is the port of an Ockam node, and that the node there is not hung up",
        )
    return failed(
        "version",
        f"{at} ends the connection at once: {reasonOf(error)}",
        f"{owner}, or {NETWORK}",
        "see the log of the node there; a proxy or firewall in between may do it, too",
    )


def ofAbsentName(name: str) -> Finding:
    """
    The relay says that nobody has the name.
    """
    return failed(
        "relay",
        f"the relay has nobody with the name {name}",
        FAR,
        "start the outlet with this --relay, or see in its log why it is not registered; or mend the name in the way",
    )


def ofChannel(listener: str, behind: str, isThere: bool, error: Exception) -> Finding:
    """
    There is no channel.

    @param behind: Behind what it is to be: the name at a relay, or a place.
    @param isThere: Has an echo come from there?
    """
    if isinstance(error, TimedOut) and isThere:
        return failed(
            "channel",
            f"the node behind {behind} has no listener called {listener}",
            OPTIONS,
            "mend the way: it ends with /secure/api/service/outlet",
        )
    if isinstance(error, TimedOut):
        return failed(
            "channel",
            f"nobody behind {behind} answers a handshake",
            FAR,
            "see that the outlet runs and is registered under that name; then that the way ends with "
            "/secure/api/service/outlet",
        )
    if isinstance(error, ConnectionClosed):
        return failed(
            "channel",
            f"the connection ends during the handshake: {reasonOf(error)}",
            f"{RELAY}, or {NETWORK}",
            "try again; if that does not help, see the log of the relay",
        )
    return failed(
        "channel",
        f"what answers behind {behind} proves nothing: {reasonOf(error)}",
        FAR,
        "do not use it: it is broken, or not what it seems; ask who runs it",
    )


def ofIdentity(error: PeerNotTrusted) -> Finding:
    """
    Somebody else is there.
    """
    return failed(
        "identity",
        f"somebody else is there: {error}",
        f"{OPTIONS}, or {FAR}",
        "compare with `ockam-twisted identity show --command ockam-outlet` over there; if it has changed for a reason, "
        "pair anew (`ockam-twisted unpair`, and a ticket) or change --authorized",
    )


def ofRefusal(who: str, reason: str, isNew: bool, isPaired: bool) -> Finding:
    """
    We are not accepted.

    @param isNew: Was our identity made for the check alone?
    @param isPaired: Were we accepted once, by a ticket?
    """
    if isNew:
        return failed(
            "trust",
            f"{who} is not accepted: {reason}",
            OPTIONS,
            "there is no identity in the state folder, so that this is a new one: say which with --instance or "
            "--state-dir",
        )
    advice = "over there: `ockam-twisted member list` shows whether we are still a member; else ask for a new ticket"
    if not isPaired:
        advice = f"over there: --authorized {who}, or a ticket"
    return failed("trust", f"{who} is not accepted: {reason}", FAR, advice)


def ofClosed(reason: str) -> Finding:
    """
    The channel does not stay.
    """
    return failed(
        "trust", f"the channel is closed again: {reason}", FAR, "see the log of the outlet: it says why, and of whom"
    )


def ofTicket(error: Exception) -> Finding:
    """
    The ticket cannot be used.
    """
    whose = OPTIONS if isinstance(error, InvalidTicket) else FAR
    advice = "ask for a new ticket (`ockam-twisted ticket create` over there)"
    if not isinstance(error, InvalidTicket | EnrollmentRefused):
        advice = "see the steps that follow: it was not redeemed, and can be tried again"
    return failed("ticket", reasonOf(error), whose, advice)


def ofCredential(authority: str, why: str) -> Finding:
    """
    Nobody attests who we are.
    """
    isMember = "is no member there" not in why
    return failed(
        "credential",
        f"the authority {authority} attests nothing of us: {why or 'it does not answer'}",
        AUTHORITY if not isMember else f"{NETWORK}, or {AUTHORITY}",
        "ask for a ticket of the authority" if not isMember else "see that the authority runs and is reached from here",
    )


def ofStream(worker: str, error: Exception) -> list[Finding]:
    """
    There is no stream: which of the last steps it is, those before it being
    done.
    """
    code = error.code if isinstance(error, StreamNotOpened) else -1
    reason = printable(reasonOf(error), 300)
    if code == -1:
        return [
            failed(
                "outlet",
                f"there is no outlet at the address {worker}, or it does not answer",
                f"{OPTIONS}, or {FAR}",
                "mend the end of the way: it is the outlet's --address, which is `outlet` if nothing else was said",
            )
        ]
    if code == SHUTTING_DOWN:
        return [failed("outlet", "the outlet is about to stop", FAR, "try again when it runs again")]
    there = Finding("outlet", OK, f"an outlet answers at the address {worker}")
    if code == POLICY:
        advice = "over there: change --allow, or give us the attributes that it asks for, with a ticket or `member add`"
        return [there, failed("policy", "the outlet's policy does not let us in", FAR, advice)]
    if code == 0:
        # Other implementations do not say why.
        return [
            there,
            Finding("policy", UNKNOWN, "the outlet refuses and does not say why"),
            failed("target", "no stream", f"{TARGET}, or {FAR}", "see that the target runs; then the outlet's log"),
        ]
    allowed = Finding("policy", OK, "we may use it")
    if code in (REFUSED, UNREACHABLE, TIMED_OUT):
        # What stands before that says the same, in other words.
        reason = reason.rpartition("the target does not answer: ")[2]
        how = {REFUSED: "refuses the connection", TIMED_OUT: "does not answer"}.get(code, "cannot be reached")
        advice = "start the service, or see that the outlet's --target is right and reached from there"
        return [there, allowed, failed("target", f"the target {how}: {reason}", TARGET, advice)]
    words = REASONS.get(code, f"code {code}")
    return [there, allowed, failed("target", f"the stream is refused: {words}: {reason}", FAR, "see the outlet's log")]
