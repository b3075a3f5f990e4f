"""
How attempts fail.
"""

from __future__ import annotations

from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectError, ConnectingCancelledError, ConnectionLost, DNSLookupError
from twisted.python.failure import Failure

from ockam_twisted.errors import EnrollmentRefused, IdentityRefused, InvalidTicket, NotAccepted, PeerNotTrusted
from ockam_twisted.routing.addresses import printable

#: What a dial may end with.
NETWORK_ERRORS = (ConnectError, ConnectingCancelledError, ConnectionLost, DNSLookupError, OSError)

#: What somebody has to do something about, rather than wait.
REFUSALS = (NotAccepted, PeerNotTrusted, IdentityRefused, EnrollmentRefused, InvalidTicket)


def reasonOf(failure: Failure, timeout: float) -> str:
    """
    Why an attempt has failed, in words fit for a log: names of hosts and what
    peers say are in there.

    @param timeout: Seconds it had.
    """
    if failure.check(DeferredTimeout):
        return f"no success within {timeout:.0f} s"
    return printable(failure.getErrorMessage() or type(failure.value).__name__)
