"""
Who may use an outlet, and what its operator reads of that.
"""

from __future__ import annotations

from twisted.logger import Logger

from ockam_twisted.interfaces import IAdmission
from ockam_twisted.portals.refusals import Refusals
from ockam_twisted.portals.settings import StreamSettings
from ockam_twisted.routing.addresses import Address, printable
from ockam_twisted.routing.local_message import PeerIdentity


class Decisions:
    """
    See the module; one for each outlet.

    @ivar admission: Decides about peers; L{None}: everybody may.
    """

    _log = Logger()

    def __init__(self, address: Address, admission: IAdmission | None, settings: StreamSettings) -> None:
        """
        @param address: Of the outlet.
        @param settings: Is it logged, too, that somebody may?
        """
        self.admission = admission
        self._address = address
        self._settings = settings
        self._refusals = Refusals(settings.clock)

    def refusal(self, peer: PeerIdentity | None) -> str:
        """
        @return: Why a peer may not use the outlet; empty if it may.
        """
        return "" if self.admission is None else self.admission.refusal(peer)

    def made(self, peer: PeerIdentity | None, refusal: str, request: str) -> None:
        """
        It was decided about a peer.

        @param refusal: Why not; empty if it may.
        @param request: What for: to C{open} a stream, to C{go on} with one, to C{keep} it.
        """
        who, outlet = "somebody without a secure channel" if peer is None else peer.identifier, ""
        if refusal or self._settings.tells:
            outlet = printable(self._address.value)
        if refusal:
            self._log.warn(
                "Denied: {peer} may not use {outlet}: {reason}",
                peer=who,
                outlet=outlet,
                reason=refusal,
                request=request,
                event="stream-denied",
                audit="refused",
            )
        elif self._settings.tells:
            self._log.debug(
                "{peer} may use {outlet}",
                peer=who,
                outlet=outlet,
                request=request,
                event="stream-allowed",
                audit="allowed",
            )

    def refused(self, reason: str) -> None:
        """
        Somebody who may use it gets nothing nevertheless.
        """
        if self._refusals.isNews(reason):
            self._log.warn("A stream was refused: {reason}", reason=reason, event="stream-refused")
