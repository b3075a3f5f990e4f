"""
Every error this package raises, in one tree.

L{LocalProtocolError} says that I{we} (or the program that uses us) did
something the protocol forbids; L{RemoteProtocolError} says that the I{peer}
did.  A remote error never becomes a traceback: whoever catches it loses the
connection, the channel or the stream it came over, with its text as reason.
The remaining branches are nobody's breach: something is not there, not
permitted, or not in time.

The text of every error is one plain line, without secrets, fit for a log.
"""

from __future__ import annotations


class OckamError(Exception):
    """
    The root of all errors of this package.
    """


class LocalProtocolError(OckamError):
    """
    This side asked for something that the protocol does not permit.
    """


class RemoteProtocolError(OckamError):
    """
    The peer sent something that the protocol does not permit.
    """


# What we misused.


class InvalidAddress(LocalProtocolError, ValueError):
    """
    A text is no address, or an address is out of bounds.
    """


class InvalidMultiAddr(LocalProtocolError, ValueError):
    """
    A text or byte string is no MultiAddr, or not one that can be routed to.
    """


class InvalidIdentifier(LocalProtocolError, ValueError):
    """
    A text is no identifier (C{I} and 64 hexadecimal digits).
    """


class InvalidRelayName(LocalProtocolError, ValueError):
    """
    A relay name is not of the permitted alphabet or length.
    """


class InvalidTicket(LocalProtocolError, ValueError):
    """
    A text is no ticket, is damaged, or has expired.
    """


class AddressTaken(LocalProtocolError):
    """
    A worker is already registered at the address.
    """


class PolicyError(LocalProtocolError, ValueError):
    """
    A text is no policy, or a policy has no value.
    """


class EncodeError(LocalProtocolError, ValueError):
    """
    A value has no encoding, or one above a limit of the wire.
    """


# What the peer broke.


class DecodeError(RemoteProtocolError):
    """
    Bytes do not decode as what they should be.
    """


class FrameTooLarge(DecodeError):
    """
    A frame announces more bytes than are accepted.
    """


class VersionMismatch(RemoteProtocolError):
    """
    The peer's first byte is not the protocol version we speak.

    @ivar found: That byte; -1 if it is not known.
    """

    found = -1


class IdentityRefused(RemoteProtocolError):
    """
    A change history, attestation or credential does not verify.
    """


class HandshakeFailed(RemoteProtocolError):
    """
    A secure-channel handshake did not complete.
    """


class PeerNotTrusted(HandshakeFailed):
    """
    The peer proved an identity that the trust policy does not accept.

    @ivar identifier: Which one.
    """

    def __init__(self, reason: str, identifier: str = "") -> None:
        super().__init__(reason)
        self.identifier = identifier


class EnrollmentRefused(RemoteProtocolError):
    """
    A one-time code is unknown, used, expired or revoked; or the peer says so
    of ours.
    """


class RecordRefused(RemoteProtocolError):
    """
    A secure-channel record is forged, repeated, missing, late or malformed.
    """


class PortalRefused(RemoteProtocolError):
    """
    A portal message is malformed or out of turn.
    """


class RegistrationRefused(RemoteProtocolError):
    """
    A relay answered a registration with something that cannot be accepted,
    or a registrant asked for what it may not have.
    """


# What is not there, not permitted, or not in time.


class NoRoute(OckamError):
    """
    Nothing is registered at the next hop of a route.
    """


class AccessDenied(OckamError):
    """
    Access control or flow control does not permit a message.
    """


class TimedOut(OckamError):
    """
    The peer did not answer within the time it had.
    """


class ConnectionClosed(OckamError):
    """
    The connection, channel or stream has ended.
    """


class StreamNotOpened(ConnectionClosed):
    """
    There is no stream to an outlet.

    @ivar code: Why, as the outlet has said, of L{ockam_twisted.wire.extension.REASONS};
        0: it has refused and not said why; -1: it has said nothing.
    """

    def __init__(self, reason: str, code: int = -1) -> None:
        super().__init__(reason)
        self.code = code


class NotAccepted(ConnectionClosed):
    """
    The other end of a channel knows who we are, and does not accept us.
    """


class LimitReached(OckamError):
    """
    A configured limit forbids one more.
    """


class RequestFailed(OckamError):
    """
    A request was answered with a status other than 200.

    @ivar status: The status of the response.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status


class StateUnusable(OckamError):
    """
    The state folder is foreign, locked, damaged or not writable.
    """


class StateInUse(StateUnusable):
    """
    Another process has the state folder.
    """


class ConfigurationError(OckamError, ValueError):
    """
    A configuration cannot be carried out; the text says what to change.
    """
