"""
Portals without sockets: an outlet whose target is a factory, and streams that
a protocol in this process opens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.errors import LimitReached, StreamNotOpened
from ockam_twisted.interfaces import ILocalSide, IRouter, ITarget
from ockam_twisted.portals.inlet import Inlet
from ockam_twisted.portals.opening import Opening
from ockam_twisted.portals.output import ignored
from ockam_twisted.portals.protocol import PortalAddress, PortalTransport

__all__ = ["FactoryTarget", "PortalAddress", "PortalTransport", "openStream"]


@implementer(ITarget)
class FactoryTarget:
    """
    A target in this process: each stream gets a protocol of its own.

    Starting and stopping the factory is up to who owns it.
    """

    def __init__(
        self,
        router: IRouter,
        clock: IReactorTime,
        factory: IProtocolFactory,
        label: str,
        heldBack: Callable[[Any], object] = ignored,
    ) -> None:
        """
        @param label: What it is, for people.
        @param heldBack: See L{PortalTransport}.
        """
        self.label = label
        self._router = router
        self._clock = clock
        self._factory = factory
        self._heldBack = heldBack

    def local(self) -> PortalTransport:
        """
        See L{ITarget.local}.
        """
        return PortalTransport(self._router, self._clock, f"a client of {self.label}", self._heldBack)

    def connect(self, local: ILocalSide) -> Deferred[object]:
        """
        See L{ITarget.connect}.
        """
        assert isinstance(local, PortalTransport)
        try:
            local.protocol = self._factory.buildProtocol(local.getPeer())
        except Exception:
            return fail(Failure())
        return fail(ConnectionRefusedError()) if local.protocol is None else succeed(local.protocol)


class _ClientTransport(PortalTransport):
    """
    The near end of a stream that a protocol in this process has opened.
    """

    def __init__(
        self,
        inlet: Inlet,
        factory: IProtocolFactory,
        label: str,
        heldBack: Callable[[Any], object],
        lost: Callable[[], object],
    ) -> None:
        super().__init__(inlet.router, inlet.clock, label, heldBack)
        self._lost = lost
        self._factory = factory
        self._result: Deferred[IProtocol] | None = Deferred(self._canceled)
        self._opening = Opening(inlet, self)

    def _canceled(self, _: Deferred[IProtocol]) -> None:
        self._result = None
        self.abortConnection()

    def start(self) -> Deferred[IProtocol]:
        """
        Open the stream.
        """
        result = self._result
        assert result is not None
        self._factory.doStart()
        self._opening.start()
        return result

    def streamOpened(self) -> None:
        """
        See L{ILocalSide.streamOpened}.
        """
        self._opening.opened()
        super().streamOpened()

    def _build(self) -> IProtocol | None:
        protocol: IProtocol | None = None
        try:
            protocol = self._factory.buildProtocol(self.getPeer())
        except Exception:
            self._log.failure("No protocol for {label} could be made", label=self._label, event="protocol-not-made")
        if protocol is None:
            self.abortConnection()
        return protocol

    def _made(self, protocol: IProtocol) -> None:
        result, self._result = self._result, None
        if result is not None:
            result.callback(protocol)

    def _neverMade(self, reason: Failure) -> None:
        result, self._result = self._result, None
        if result is not None:
            said, text = self.stream.result, f"no stream to {self._label}: {reason.getErrorMessage()}"
            code = said.code if said is not None else -1 if self._opening.isGivenUp else 0
            result.errback(StreamNotOpened(text, code))

    def _lose(self, reason: Failure) -> None:
        super()._lose(reason)
        self._factory.doStop()
        self._lost()


def openStream(
    inlet: Inlet,
    factory: IProtocolFactory,
    label: str = "the outlet",
    heldBack: Callable[[Any], object] = ignored,
    lost: Callable[[], object] = lambda: None,
) -> Deferred[IProtocol]:
    """
    Open a stream for a protocol in this process.

    @param inlet: Whose way, limits and patience apply; it need not listen.
    @param factory: Makes the protocol once the stream is open.
    @param label: What is at the far end, for people.
    @param heldBack: See L{PortalTransport}.
    @param lost: Called once when the stream has ended, or was never opened.
    @return: Fires with the protocol once it is connected; fails with
        L{StreamNotOpened} or L{LimitReached}.  Cancel it to give up.
    """
    if len(inlet.streams) >= inlet.maxStreams:
        lost()
        return fail(LimitReached(f"there are {len(inlet.streams)} streams already"))
    return _ClientTransport(inlet, factory, label, heldBack, lost).start()
