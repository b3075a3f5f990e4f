"""
A message inside a node (spec messaging, section 3).
"""

from __future__ import annotations

from attrs import define, frozen

from ockam_twisted.routing.addresses import Address, Route


class LocalInfo:
    """
    A fact about a message that this node knows and never sends.
    """

    __slots__ = ()


@frozen
class PeerIdentity(LocalInfo):
    """
    The message came through a secure channel.  A message that came through
    several carries the identity of the innermost one only.

    @ivar identifier: Whose channel it is, in text.
    @ivar encryptor: The channel's address on this node; names the channel.
    @ivar hop: The connection that the channel's handshake came over: the
        first address of the route to the peer.
    @ivar attributes: What C{authority} says the peer has, in a credential
        that was presented on this channel and has not expired; L{None}:
        nothing was.
    @ivar authority: An identifier, in text.
    @ivar connection: What the operating system, or TLS, says of who is at the
        other end of C{hop}, if the channel is with them: names and values.
    @ivar isOrdered: Do all messages arrive, and in order?  Otherwise there are
        no portals.
    """

    identifier: str
    encryptor: Address
    hop: Address
    attributes: tuple[tuple[bytes, bytes], ...] | None = None
    authority: str = ""
    connection: tuple[tuple[str, str], ...] = ()
    isOrdered: bool = True


@define
class LocalMessage:
    """
    One message on its way through this node.

    @ivar onward_route: Where it still has to go; the first address is whom
        it is delivered to.
    @ivar return_route: Where replies go.
    @ivar payload: What the addressed worker defines.
    @ivar local_info: What this node knows about it.
    @ivar source: The worker of this node it was sent from, truly; the router
        sets it.  Who only passes a message on, passes its source on too.
    """

    onward_route: Route
    return_route: Route
    payload: bytes
    local_info: tuple[LocalInfo, ...] = ()
    source: Address | None = None

    @property
    def peerIdentity(self) -> PeerIdentity | None:
        """
        Who sent it, if it came through a secure channel.
        """
        for info in self.local_info:
            if isinstance(info, PeerIdentity):
                return info
        return None
