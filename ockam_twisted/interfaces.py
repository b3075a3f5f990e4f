"""
Every seam of the package, innermost layer first: reading this file from top
to bottom is reading the architecture.

  - L1, routing: L{IFlow}, L{IWorker}, L{IFlowReceiver}, L{IAccessControl},
    L{ISource}, L{IOutput}, L{IRouter}
  - L2, transports: L{IHop}, L{ITransport}
  - trust: L{IVault}, L{ITrustPolicy}, L{IIdentityStore}, L{IMemberStore},
    L{INameStore}
  - L3, channels: L{ISecureChannel}
  - L4, portals: L{ISockets}, L{ILocalSide}, L{ITarget}, L{IWay}
  - L5, relays: L{IRelayDirectory}
  - L6, sessions: L{IAttempt}
  - the node: L{INodeStatus}

Interfaces are checked when parts are wired together, never per message.

Times are seconds as C{float} on the clock that was passed in; calendar times
on the wire are whole seconds since the Unix epoch.  Sizes are bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zope.interface import Attribute, Interface

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from ockam_twisted.identity.credentials import VerifiedCredential
    from ockam_twisted.identity.identifiers import Identifier
    from ockam_twisted.identity.members import EnrollmentToken, Member
    from ockam_twisted.routing.addresses import Address, Route
    from ockam_twisted.routing.local_message import LocalInfo, LocalMessage, PeerIdentity

#: Bytes that can be joined, sliced and sent, without a copy where possible.
Buffer = bytes | memoryview

#: How a payload travels inside a node: its pieces in order, and their total
#: size.  The receiver joins them only if it has to.
PayloadReceiver = Callable[[Sequence[Buffer], int], None]

#: Calls something once when a calendar time (epoch seconds) has come; what it
#: returns cancels that.
Until = Callable[[int, Callable[[], object]], Callable[[], None]]


# --------------------------------------------------------------------- L1 --


class IFlow(Interface):
    """
    A way for many messages with the same routes: resolved, checked against
    access control and encoded once (C{docs/architecture.rst}, "flows").
    """

    onward_route: Route = Attribute("Where its messages go; the first address is a worker of this node.")
    return_route: Route = Attribute("What the receiver of its messages replies to.")
    isDirect: bool = Attribute(
        "The receiver has prepared for it: sending is cheap.  Otherwise each message may take long."
    )

    send: PayloadReceiver = Attribute(
        """
        Send one message: C{send(pieces, size)}.  A direct call of the
        receiver while the flow is open.  Once it is stale (the receiver was
        unregistered, a decision changed) the next call resolves it again;
        while that fails, messages are dropped and counted.  Never raises for
        what the peer did.
        """
    )

    def close() -> None:
        """
        Forget the flow.  Messages sent after that are dropped.
        """


class IWorker(Interface):
    """
    Something with an address that messages can be routed to.
    """

    def messageReceived(message: LocalMessage) -> None:
        """
        A message has arrived.  The first address of its onward route is the
        one this worker is registered at.

        What this raises is logged and drops the message; it never disturbs
        the connection it came over.
        """


class IFlowReceiver(IWorker):
    """
    A worker that takes many messages with the same routes without looking at
    the routes each time.
    """

    def flowOpened(message: LocalMessage) -> PayloadReceiver | None:
        """
        A flow to this worker is being opened.

        @param message: What each message of the flow looks like, but for the
            payload, which is empty here.
        @return: What the flow calls for each payload from now on, or L{None}
            to get each as a message.
        """


class IBounded(IWorker):
    """
    A worker that is meant to be asked for much, by whom it has let in, and has
    limits of its own: an outlet.
    """


class IAccessControl(Interface):
    """
    A decision about messages with given routes and origin.  Deterministic for
    as long as nobody calls L{IRouter.invalidate}.
    """

    def permits(message: LocalMessage) -> bool:
        """
        @param message: The message; its payload is not looked at.
        """


class IAdmission(Interface):
    """
    A decision about a peer: may it use a service?
    """

    def refusal(peer: PeerIdentity | None) -> str:
        """
        @param peer: Who asks; L{None}: it did not come through a channel.
        @return: Why not, in words for our log; empty if it may.
        """


class ISource(Interface):
    """
    Something that reads from outside this node and so fills outputs: a hop
    connection, the local socket of a portal.
    """

    isShared: bool = Attribute("Anybody may send by way of it, also who has not been heard of: a hop connection.")
    isPaused: bool = Attribute("Has anybody asked for a pause?")

    def pauseFor(asker: Hashable) -> None:
        """
        Stop reading until C{asker} (and every other one that asked) says
        L{resumeFor}.

        @param asker: An output, or whoever has to have a pause.
        """

    def resumeFor(asker: Hashable) -> None:
        """
        C{asker} no longer minds.
        """

    def charge(seconds: float) -> None:
        """
        It has taken so long to do what was asked for by what was read.  What
        goes the direct way is not counted.
        """

    def fed(output: IOutput) -> None:
        """
        Called by the turn, at its end: what was read went to C{output}.
        """

    def servesOthers(output: IOutput) -> bool:
        """
        Is there anybody, besides who sends to C{output}, who suffers while
        this source is paused?
        """

    def moved() -> None:
        """
        What is read goes elsewhere from now on: wait for no output that it
        has fed.
        """

    def owns(output: IOutput) -> bool:
        """
        Does C{output} leave through the connection that this reads from?
        """

    def checkLiveness() -> bool:
        """
        Paused, this source does not hear that its connection was reset: look,
        and lose it if so.

        @return: Was it not, as far as can be seen?
        """


class IOutput(Interface):
    """
    Something that bytes leave this node through, collected during a turn and
    sent when it ends.
    """

    full: bool = Attribute("More is queued than it should hold: sources that feed it must pause.")
    queued: int = Attribute("Bytes that neither the kernel nor the peer has yet.")
    lost: bool = Attribute("The connection below is gone.")
    label: str = Attribute("Whom it leads to, for people.")

    write: PayloadReceiver = Attribute("Add pieces to what leaves at the end of this turn: C{write(pieces, size)}.")

    def flush() -> None:
        """
        Called by the turn, at its end: send what was collected.
        """

    isShared: bool = Attribute("Many sources feed it, so that it pays to send what several of them bring at once.")

    def postpone() -> bool:
        """
        Called by the turn, at its end: may what was collected wait until more
        has come, in this pass over many sockets?

        @return: L{flush} follows, and may come after other turns.
        """

    def holdBack(source: ISource) -> None:
        """
        Pause C{source} until this output has drained.
        """

    def letGo(source: ISource) -> None:
        """
        C{source} does not feed this output any more, and need not wait for it.
        """

    sent: int = Attribute("Bytes of the stream that were taken from here, in all.")
    mark: int = Attribute("Once C{sent} is as high as this, who watches the progress is called.")

    def watchProgress(mark: int, progressed: Callable[[], None]) -> None:
        """
        Call C{progressed} whenever something was taken from here and C{sent}
        is not below C{mark} then.  What is written here is bounded by who
        watches: this output holds nobody back from now on.
        """

    def finish() -> None:
        """
        Send what is queued, then end this direction only; the connection as
        a whole, where it has no halves.
        """

    def loseConnection() -> None:
        """
        Send what is queued, then end the connection below.
        """

    def abortConnection() -> None:
        """
        Drop what is queued and end the connection below with a reset.
        """

    def resetConnection() -> None:
        """
        Send what is queued, for a few seconds at most, then end the connection
        below with a reset.
        """

    def connectionLost() -> None:
        """
        Called by the protocol that owns it: the connection below is gone.
        Sources are let go.
        """


class IBundle(Interface):
    """
    Messages that leave as one, at the end of a pass over many sockets.
    """

    sources: set[Any] = Attribute("What they were read from, each an L{ISource}, or several such, or L{None}.")

    def send() -> None:
        """
        Called by the turn, at the end of the pass.
        """


class IRouter(Interface):
    """
    Messages find workers.
    """

    turn = Attribute("The L{ockam_twisted.routing.turn.Turn} that every entry from the reactor enters and leaves.")
    flowControls = Attribute("The L{ockam_twisted.routing.flow.FlowControls} of this node.")
    peers = Attribute("The L{ockam_twisted.routing.peers.Peers}: who is at the other end of channels.")
    inbound = Attribute("The L{ockam_twisted.routing.inbound.InboundBudget} of what is known of messages that come.")

    def register(
        address: Address,
        worker: IWorker,
        incoming: IAccessControl | None = None,
        outgoing: IAccessControl | None = None,
    ) -> None:
        """
        Deliver messages for C{address} to C{worker}.

        @param incoming: Which messages may reach it; L{None}: all.
        @param outgoing: Which messages may be sent from it; L{None}: all.
        @raise AddressTaken: There is a worker at that address.
        """

    def unregister(address: Address) -> None:
        """
        Nothing is at C{address} any more; flows to it become stale.  Unknown
        addresses are ignored.
        """

    def route(message: LocalMessage, source: Address) -> bool:
        """
        Deliver one message to the first address of its onward route.

        @return: Whether it was delivered.  Undeliverable and forbidden
            messages are dropped and counted, as the protocol wants (spec
            messaging, section 13).
        """

    def open(
        onward_route: Route,
        return_route: Route,
        source: Address,
        local_info: tuple[LocalInfo, ...] = (),
    ) -> IFlow:
        """
        Open a flow.  Whether its messages can be delivered is found out with
        the first one; see L{IFlow.send}.
        """

    def worker(address: Address) -> IWorker | None:
        """
        @return: What is registered at C{address}.
        """

    def watch(address: Address, gone: Callable[[], object]) -> Callable[[], None]:
        """
        Call C{gone} once when C{address} is unregistered; at once if nothing
        is there now.

        @return: Call it to watch no more.
        """

    def dependents(address: Address) -> int:
        """
        @return: How many watch C{address}: who would notice its end.
        """

    def invalidate(address: Address) -> None:
        """
        A decision about messages to or from C{address} may have changed:
        flows that touch it are resolved again.
        """


# --------------------------------------------------------------------- L2 --


class IHop(IFlowReceiver):
    """
    One live connection to another node.
    """

    address: Address = Attribute("The sender worker: what a route names to send through this connection.")
    receiver: Address = Attribute("The source of what arrives over it; a flow-control producer.")
    flowId: str = Attribute("The flow-control id of what arrives over it.")
    peer: str = Attribute("Who is at the other end, for people: host and port.")
    carried: int = Attribute("Bytes that went over it, both ways.")
    messages: int = Attribute("How many messages have come over it.")
    pieces: int = Attribute("Changes with each piece of a message that its kernel gets, as far as that can be told.")
    isBlocked: bool = Attribute(
        "We do not read from it, or cannot write to it, now, although its kernel answers: its silence means nothing."
    )
    isPatient: bool = Attribute("What is sent is kept for who is away, for however long: silence means nothing.")

    def whenLost() -> Deferred[str]:
        """
        @return: Fires with the reason when the connection has ended.
        """

    def loseConnection() -> None:
        """
        Send what is queued, then end the connection.
        """

    def abortConnection(reason: str) -> None:
        """
        End the connection at once.
        """


class ITransport(Interface):
    """
    A way to make hops.
    """

    def connect(endpoint: Any) -> Deferred[IHop]:
        """
        Make one attempt to connect over a client endpoint.  Retrying is the
        business of C{sessions}.
        """

    def listen(endpoint: Any) -> Deferred[Any]:
        """
        Accept connections on a server endpoint.

        @return: Fires with the listening port (C{IListeningPort}).
        """


# ------------------------------------------------------------------ trust --


class IVault(Interface):
    """
    Secret keys and what is done with them.  Secrets are named by handles
    (opaque C{bytes}) and do not leave the vault.

    Everything that needs a secret returns a Deferred, since a token or a
    cloud signer cannot answer at once; in software it has already fired.
    """

    signingKind: int = Attribute("The kind of signing key it makes unless asked for another: 0 Ed25519, 1 P-256.")

    def generateSigningKey(kind: int = 0) -> Deferred[bytes]:
        """
        Make a signing key.

        @param kind: 0 Ed25519, 1 P-256 (the tags of spec identity 1.2).
        @return: Fires with its handle, once it is stored.
        """

    def verifyingKey(handle: bytes) -> Deferred[Any]:
        """
        @return: Fires with the L{ockam_twisted.vault.primitives.VerifyingKey}.
        """

    def sign(handle: bytes, data: bytes) -> Deferred[Any]:
        """
        @return: Fires with the L{ockam_twisted.vault.primitives.Signature}
            of C{data} (spec identity 2.3).
        """

    def generateAgreementKey(persistent: bool = False) -> Deferred[bytes]:
        """
        Make an X25519 key.

        @return: Fires with its handle.
        """

    def agreementPublicKey(handle: bytes) -> Deferred[bytes]:
        """
        @return: Fires with the 32 bytes of the public key.
        """

    def agree(handle: bytes, publicKey: bytes) -> Deferred[bytes]:
        """
        X25519 with a peer's public key.

        @return: Fires with 32 bytes, or fails with L{HandshakeFailed} for a
            key that contributes nothing.
        """

    def deleteKey(handle: bytes) -> Deferred[None]:
        """
        Forget a secret.  Unknown handles are ignored.
        """


class ITrustPolicy(Interface):
    """
    Who may complete a handshake with us.
    """

    def accepts(identifier: Identifier) -> bool:
        """
        Asked before anything is verified.

        @param identifier: The peer's, proven in the end.
        """

    def confirms(identifier: Identifier, credential: VerifiedCredential | None) -> bool:
        """
        Asked of whom L{accepts} accepts: once the credential is verified,
        again when everything is, and whenever something has changed.

        @param credential: What an authority of ours says of it.
        """


class IStored(Interface):
    """
    What memory may be ahead of: what all stores have in common.
    """

    def whenStored(what: str | bytes) -> Deferred[None]:
        """
        @param what: An identifier, a handle, a name, or the hash of a code.
        @return: Fires once it is on the disk what reads say of that, as it
            may not be if a write has failed or is under way; fails with
            L{ockam_twisted.errors.StateUnusable}.  For who finds that there
            is nothing to write, before somebody is told.
        """


class IIdentityStore(IStored):
    """
    What a node remembers of itself and of its peers.  Reads answer at once
    from memory; writes return a Deferred that fires after the commit.
    """

    def secret(handle: bytes) -> tuple[str, bytes] | None:
        """
        @return: Kind and secret bytes of a key of the software vault.
        """

    def secretHandles() -> list[bytes]:
        """
        @return: The handles of all secrets.
        """

    def storeSecret(handle: bytes, kind: str, secret: bytes) -> Deferred[None]:
        """
        Keep a secret.
        """

    def deleteSecret(handle: bytes) -> Deferred[None]:
        """
        Forget a secret.
        """

    def changeHistory(identifier: Identifier) -> bytes | None:
        """
        @return: The latest change history accepted from this identity.
        """

    def storeChangeHistory(identifier: Identifier, history: bytes) -> Deferred[None]:
        """
        Keep the change history of a trusted peer, or our own.
        """

    def setting(name: str) -> bytes | None:
        """
        @return: A named value of this node (its own identifier, key handles,
            attestations).
        """

    def storeSetting(name: str, value: bytes) -> Deferred[None]:
        """
        Keep a named value.
        """

    def deleteSetting(name: str) -> Deferred[None]:
        """
        Forget a named value.
        """


class IMemberStore(IStored):
    """
    Who is a member, with which attributes, and which enrollment tokens were
    given out.  Reads answer at once from memory; writes return a Deferred
    that fires after the commit.
    """

    def members() -> Mapping[Identifier, Member]:
        """
        @return: All members.
        """

    def storeMember(member: Member) -> Deferred[None]:
        """
        Keep a member, in place of what was known of it.
        """

    def deleteMember(identifier: Identifier) -> Deferred[None]:
        """
        Forget a member.
        """

    def tokens() -> Mapping[bytes, EnrollmentToken]:
        """
        @return: All tokens, by the hash of their code.
        """

    def storeToken(token: EnrollmentToken) -> Deferred[None]:
        """
        Keep a token, in place of what was known of it.
        """

    def storeRedemption(token: EnrollmentToken, member: Member) -> Deferred[None]:
        """
        Keep a token and the member that it has made, both or neither.
        """

    def deleteTokens(codeHashes: Iterable[bytes]) -> Deferred[None]:
        """
        Forget tokens.
        """


class INameStore(Interface):
    """
    Which relay name belongs to which identity.
    """

    def owner(name: str) -> Identifier | None:
        """
        @return: The identity a name belongs to.
        """

    def storeOwner(name: str, identifier: Identifier, now: int) -> Deferred[None]:
        """
        Give a name to an identity, or note that it was used again.
        """

    def owned(identifier: Identifier) -> int:
        """
        @return: How many names belong to an identity.
        """

    def count() -> int:
        """
        @return: How many names belong to anybody.
        """

    def forgetUnused(before: int) -> Deferred[int]:
        """
        Free the names not used since C{before}.

        @return: Fires with how many there were.
        """


# --------------------------------------------------------------------- L3 --


class IPresenter(Interface):
    """
    Something that credentials can be presented to.
    """

    def presentCredential(change_history: bytes, credential: bytes) -> None:
        """
        Present a credential anew (spec identity, section 6.11).

        @param change_history: Ours, encoded.
        @param credential: It and the attestation of the key that signed it,
            encoded; empty to present the history only.
        """


class ISecureChannel(IPresenter):
    """
    An end-to-end encrypted, mutually authenticated way to one peer.
    """

    encryptor: Address = Attribute("What a route names to send through this channel.")
    decryptor: Address = Attribute("The source of what arrives through it; a flow-control producer.")
    flowId: str = Attribute("The flow-control id of what arrives through it.")
    peerIdentifier: Identifier = Attribute("Who is at the other end, proven.")

    def whenLost() -> Deferred[str]:
        """
        @return: Fires with the reason when the channel has ended.
        """

    def close() -> None:
        """
        Send Close and end the channel.
        """


# --------------------------------------------------------------------- L4 --


class ISockets(Interface):
    """
    What the portals need of local sockets, without knowing about transports.
    """

    def attach(transport: Any, lose: Callable[[], object], label: str) -> tuple[IOutput, ISource]:
        """
        Prepare a connected socket.

        @param transport: Of the Protocol that reads from it.
        @param lose: Ends the stream when the socket turns out to be dead.
        @param label: Whom the socket leads to, for people.
        """

    def bindDatagrams(reactor: Any, protocol: Any, port: int, interface: str) -> Any:
        """
        Bind a UDP socket with room for bursts.

        @param protocol: An C{IDatagramProtocol}.
        @return: The port (C{IListeningPort}).
        @raise CannotListenError: It cannot be had.
        """

    def readAhead(transport: Any) -> None:
        """
        Read a little of what has come already, if anything has.

        @param transport: Of an attached socket that is not paused.
        """

    def take(transport: Any) -> bytes:
        """
        Take a little of what has come already, if anything has: its protocol
        does not get that.

        @param transport: Of an attached socket that is paused.
        @return: At most L{MAX_EARLY<ockam_twisted.wire.terms.MAX_EARLY>} bytes.
        """


class ILocalSide(Interface):
    """
    The near end of a portal stream: a local socket, or a Twisted protocol in
    this process.
    """

    output: IOutput = Attribute("Takes the bytes that come out of the stream.")
    source: ISource = Attribute("Reads the bytes that go into it.")

    def hear(data: bytes) -> None:
        """
        What comes out of the stream first, before it is open; at an outlet
        only, and once at most.
        """

    def streamOpened() -> None:
        """
        The far end is connected: bytes may be sent from now on.
        """

    def streamFinished() -> None:
        """
        Nothing more comes out of the stream; bytes may still go in.
        """

    def streamEnded(reason: str, clean: bool) -> None:
        """
        Nothing more comes out of the stream, and nothing more goes in.

        @param clean: The far end ended it: what came out is all there is.
            Otherwise something may be missing, and the near end must not look
            as if it were complete.
        """

    def streamReset(reason: str) -> None:
        """
        The far end has reset the stream, and said so: what came out before
        still counts, and then the near end is reset, too.
        """


class ITarget(Interface):
    """
    What an outlet connects its streams to.
    """

    label: str = Attribute("What it is, for people.")

    def local() -> ILocalSide:
        """
        @return: A near end, with an attribute C{stream} to be set before
            L{connect}.
        """

    def connect(local: ILocalSide) -> Deferred[object]:
        """
        Connect it.  Cancel the Deferred to give up.
        """


class IWay(Interface):
    """
    A route that comes and goes: what portals and relays send over.
    """

    route: Route | None = Attribute("The route while it is up, else L{None}.")
    why: str = Attribute("Why it is not up, in words; empty while it is.")
    isSuspect: bool = Attribute("Was the far end asked for a reason whether it lives, and has not answered?")

    def whenUp() -> Deferred[Route]:
        """
        @return: Fires with the route, at once if it is up; fails with
            L{NotAccepted <ockam_twisted.errors.NotAccepted>} where waiting
            is of no use, because one end refuses the other.  Cancel it to
            stop waiting.
        """

    def suspect(reason: str, route: Route | None = None) -> None:
        """
        Somebody got no answer over this way: ping now rather than later.

        @param route: The route that was used, if that may be another one than
            now; one that is not in use any more is above suspicion.
        """

    def changed(listener: Callable[[Route | None], None]) -> Callable[[], None]:
        """
        Tell C{listener} about each change of the route.

        @return: Call it to be told no more.
        """


# --------------------------------------------------------------------- L5 --


class IRelayDirectory(Interface):
    """
    Who else has to know the relay names in use: the other processes of a
    relay.
    """

    def added(relay: Any) -> Deferred[None]:
        """
        A name is in use from now on, or leads to somebody else.

        @param relay: The L{ockam_twisted.relays.relay.Relay} behind it, which
            is told who sends there from elsewhere.
        @return: Fires once everybody knows.
        """

    def removed(address: Address) -> None:
        """
        Nobody is behind a name any more.  Unknown ones are ignored.
        """


# --------------------------------------------------------------------- L6 --


class IAttempt(Interface):
    """
    One try at making a way; C{sessions} repeats it.
    """

    def start() -> Deferred[Any]:
        """
        Dial, authenticate, register.

        @return: Fires with an L{ockam_twisted.sessions.session.Established};
            fails with the reason.  Cancelling it undoes what was done.
        """


class IRotation(IAttempt):
    """
    Tries that have more than one way to choose from.  C{start} may be called
    while what the last one made is still in use: it goes over the same way,
    where that can be had.
    """

    def moveOn() -> None:
        """
        What was made last is about to end: the next try begins with another
        way.  Its end, and closing it, say so by themselves, unless something
        newer was made meanwhile.
        """


# ------------------------------------------------------------------- node --


class INodeStatus(Interface):
    """
    An immutable picture of a node, for logs, metrics and people.
    """

    name: str = Attribute("What the node calls itself.")
    identifier: str = Attribute("Its identifier, in text.")
    listeners: tuple[str, ...] = Attribute("Where it listens.")
    sessions: tuple[Any, ...] = Attribute("Its ways, each with state, since when, why, and the next try.")
    streams: int = Attribute("How many portal streams are open.")
    portals: tuple[Any, ...] = Attribute("Its inlets and outlets.")
    seconds: float = Attribute("For how long it has been running.")
    relayed: int = Attribute("How many names are registered here.")
    members: int = Attribute("How many members it has.")
    processes: tuple[Any, ...] = Attribute("Its processes, each with number, process id, state and connections.")
