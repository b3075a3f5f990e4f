"""
What a registration asks for, and which ones are not even considered (design,
section 5).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container

from attrs import frozen
from twisted.logger import Logger

from ockam_twisted.errors import InvalidRelayName, RegistrationRefused
from ockam_twisted.interfaces import IHop, IRouter
from ockam_twisted.relays.names import REGISTER, checkRelayName, identifierShaped, relayAddress
from ockam_twisted.relays.quotas import DIRECT, NOTIFY, extensionFlags
from ockam_twisted.routing.addresses import MAX_ADDRESS, MAX_HOPS, Address, Route, printable
from ockam_twisted.routing.local_message import LocalMessage, PeerIdentity

#: Why a peer may not have a name; empty if it may.
Admits = Callable[[PeerIdentity, str], str]


@frozen
class Claim:
    """
    What a registration asks for, and who asks.

    @ivar address: The relay address to be.
    @ivar name: The same without its prefix.
    @ivar back: Where the reply goes.
    @ivar forward_route: Where relayed messages go.
    @ivar identifier: Whose name it is to be; L{None} if nobody's.
    @ivar proven: Who asks, if that was proven; also for a name that is
        nobody's.
    @ivar hop: The connection it came over, however many channels are above.
    @ivar host: Where that leads to; all that come from there share a quota.
    @ivar near: Is the registrant itself at the other end of C{hop}?
    @ivar peer: Who asks, for people.
    @ivar direct: Is C{forward_route} the connection below the channel?
    @ivar notices: Does the registrant know notices?
    """

    address: Address
    name: str
    back: Route
    forward_route: Route
    identifier: str | None
    hop: Address
    host: str
    near: bool
    peer: str
    direct: bool
    proven: str | None = None
    notices: bool = False


class ClaimReader:
    """
    Turns registrations into claims.
    """

    def __init__(
        self,
        router: IRouter,
        authorized: Container[str] | None,
        allowAnonymous: bool,
        relays: Container[Address],
        services: Collection[Address],
        admits: Admits | None = None,
    ) -> None:
        """
        @param authorized: The identities that may register; L{None}: all.
        @param relays: The names in use.
        @param services: Where registrations are taken.
        @param admits: Who may have which name.
        """
        self._router = router
        self._authorized = authorized
        self._allowAnonymous = allowAnonymous
        self._relays = relays
        self._services = services
        self._admits = admits

    def read(self, message: LocalMessage, name: str, extension: bytes) -> Claim:
        """
        What does a registration ask for, and who asks?

        @raise InvalidRelayName: Not for a name that there may be.
        @raise RegistrationRefused: Who asks may not, or the route is not
            theirs.
        """
        peer = message.peerIdentity
        back = message.return_route
        if peer is None and not self._allowAnonymous:
            raise RegistrationRefused("registrations need an identity here")
        if peer is not None and self._authorized is not None and peer.identifier not in self._authorized:
            raise RegistrationRefused("this identity is not authorized")
        if len(message.onward_route) != 1 or not 2 <= len(back) <= MAX_HOPS:
            raise RegistrationRefused("its routes are too short or too long")
        controls = self._router.flowControls
        came = None if message.source is None else controls.producerId(message.source)
        if came is None or controls.producerId(back[0]) != came or (peer is not None and peer.encryptor != back[0]):
            raise RegistrationRefused("its return route does not begin with the connection it came over")
        if name == REGISTER:
            name, owner = Address.random().value.decode("ascii"), None
        else:
            checkRelayName(name)
            name = identifierShaped(name) or name
            owner = None if peer is None else peer.identifier
            if self._router.worker(Address.local(name)) is not None:
                raise InvalidRelayName("this is the name of a worker of this node")
        refusal = self.refusal(peer, name)
        if refusal:
            raise RegistrationRefused(refusal)
        address = relayAddress(name)
        if any(
            len(each.value) > MAX_ADDRESS or each == address or each in self._relays or each in self._services
            for each in back
        ):
            raise RegistrationRefused("its return route leads through a name of this relay")
        hop = back[0] if peer is None else peer.hop
        connection = self._router.worker(hop)
        isHop = IHop.providedBy(connection)
        label = str(getattr(connection, "peer", "")) if isHop else str(hop)
        flags = extensionFlags(extension)
        direct = peer is not None and isHop and bool(flags & DIRECT)
        # What a registrant's own worker would do is done without it (spec
        # portals, section 8.2).
        forward = Route((hop,)) if direct else Route(back[:-1])
        host = (label.rpartition(":")[0].strip("[]") or label) if isHop else label
        near = isHop and len(back) == 2
        who = printable(label if peer is None else f"{peer.identifier} at {label}")
        proven, notices = None if peer is None else peer.identifier, bool(flags & NOTIFY)
        return Claim(address, name, back, forward, owner, hop, host, near, who, direct, proven, notices)

    def change(self, authorized: Container[str] | None, allowAnonymous: bool, admits: Admits | None) -> None:
        """
        From now on others may register.  See L{__init__}.
        """
        self._authorized, self._allowAnonymous, self._admits = authorized, allowAnonymous, admits

    def refusal(self, peer: PeerIdentity | None, name: str) -> str:
        """
        Why somebody may not have a name; empty if they may.
        """
        if peer is None and not self._allowAnonymous:
            return "registrations need an identity here"
        if peer is not None and self._authorized is not None and peer.identifier not in self._authorized:
            return "this identity is not authorized"
        return "" if self._admits is None or peer is None else self._admits(peer, name)


class Decisions:
    """
    Logs which registrations were granted, and which refused.
    """

    _log = Logger()

    def granted(self, claim: Claim, before: Claim | None) -> None:
        """
        A registrant has its name.

        @param before: Who had it until now.
        """
        address = claim.address.value.decode("ascii")
        if before is not None and before.peer != claim.peer:
            self._log.info(
                "{peer} has taken over {address} from {before}",
                peer=claim.peer,
                address=address,
                before=before.peer,
                event="name-taken-over",
                audit="changed",
            )
        self._log.info(
            "{peer} is reached at {address}", peer=claim.peer, address=address, event="name-given", audit="allowed"
        )

    def refused(self, reason: str, name: str, peer: str) -> None:
        """
        A registration was refused.
        """
        self._log.warn(
            "No relay name {name} for {peer}: {reason}",
            name=printable(name, 80),
            peer=peer,
            reason=printable(reason),
            event="name-refused",
            audit="refused",
        )
