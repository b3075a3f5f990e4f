"""
Requests and responses (spec portals, section 9): one message there, one back
to an address that exists for this answer only.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ockam_twisted.errors import ConnectionClosed, NoRoute, RemoteProtocolError, RequestFailed, TimedOut
from ockam_twisted.interfaces import IAccessControl, IRouter, IWorker
from ockam_twisted.routing.addresses import Address, Route, printable
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.services.worker import WorkerService
from ockam_twisted.wire.api import (
    INTERNAL_ERROR,
    OK,
    STATUS,
    Request,
    Response,
    decodeApiError,
    decodeRequest,
    decodeResponse,
    encodeRequest,
    encodeResponse,
    refuse,
)

#: Seconds until a request that is not answered has failed.
TIMEOUT = 10.0


# ----------------------------------------------------------------- asking --


@implementer(IWorker)
class _Reply:
    """
    Waits at a fresh address for one message.
    """

    def __init__(self, router: IRouter, clock: IReactorTime, route: Route, timeout: float) -> None:
        self.address = Address.random()
        self.result: Deferred[bytes] = Deferred(lambda _: self._end())
        self._router = router
        router.register(self.address, self)
        flowId = router.flowControls.producerId(route[0])
        if flowId is not None:
            router.flowControls.addConsumer(self.address, flowId)
        self._deadline = clock.callLater(timeout, self._timedOut, route, timeout)
        self._unwatch = router.watch(route[0], self._roadGone)

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        if len(message.onward_route) == 1 and not self.result.called:
            self._end()
            self.result.callback(message.payload)

    def _timedOut(self, route: Route, timeout: float) -> None:
        with self._router.turn:
            self.fail(TimedOut(f"no answer within {timeout:g} s from {route[-1]}"))

    def _roadGone(self) -> None:
        self.fail(ConnectionClosed("the connection was lost before the answer came"))

    def fail(self, error: Exception) -> None:
        """
        There will be no answer.
        """
        if not self.result.called:
            self._end()
            self.result.errback(error)

    def _end(self) -> None:
        self._unwatch()
        if self._deadline.active():
            self._deadline.cancel()
        self._router.unregister(self.address)


def requestRaw(
    router: IRouter, clock: IReactorTime, route: Route, payload: bytes, timeout: float = TIMEOUT
) -> Deferred[bytes]:
    """
    Send one message and wait for the first one that comes back.

    @param route: To the worker that answers.
    @param timeout: Seconds it has.
    @return: Fires with the payload of the answer.  Fails with L{TimedOut},
        with L{ConnectionClosed} when the first address of the route goes away
        meanwhile, or with L{NoRoute} if the message cannot even leave.
        Cancel it to give up.
    """
    if not route or router.worker(route[0]) is None:
        failed: Deferred[bytes] = Deferred()
        failed.errback(NoRoute(f"nothing is at the beginning of the route {route}"))
        return failed
    reply = _Reply(router, clock, route, timeout)
    with router.turn:
        delivered = router.route(LocalMessage(route, Route((reply.address,)), payload), reply.address)
        if not delivered and not reply.result.called:
            reply.fail(NoRoute(f"a message to {route[0]} was not let through"))
    return reply.result


def request(
    router: IRouter, clock: IReactorTime, route: Route, request: Request, timeout: float = TIMEOUT
) -> Deferred[Response]:
    """
    Send a request and wait for its response.

    @return: Fires with the response, whatever its status: see L{accepted}.
        Fails as L{requestRaw} does, and with
        L{ockam_twisted.errors.DecodeError} if the answer is no response.
    """
    return requestRaw(router, clock, route, encodeRequest(request), timeout).addCallback(decodeResponse)


def accepted(response: Response) -> Response:
    """
    A callback for L{request}: any status but 200 is a failure.

    @raise RequestFailed: The status is another; the text says what the peer
        said, made fit for a log.
    """
    if response.status == OK:
        return response
    status = response.status or 0
    reason = STATUS.get(status, "no status")
    if response.body is not None:
        try:
            said = decodeApiError(response.body).message
        except RemoteProtocolError:
            said = None
        if said:
            reason = f"{reason}: {printable(said)}"
    raise RequestFailed(status, reason)


# -------------------------------------------------------------- answering --


#: Answers a request.
Answer = Callable[[Request, LocalMessage], "Response | Deferred[Response]"]


class RequestWorker(WorkerService):
    """
    Answers the requests that come to one address.  What is no request gets no
    response.

    It is there while the service runs; who needs no service calls
    L{startService<WorkerService.startService>} and
    L{stopService<WorkerService.stopService>} itself.
    """

    _log = Logger()

    def __init__(
        self,
        router: IRouter,
        address: Address,
        answer: Answer,
        consumerIds: tuple[str, ...] = (),
        incoming: IAccessControl | None = None,
        requiresChannel: bool = True,
        maxUnanswered: int = 256,
    ) -> None:
        """
        @param answer: Called with each request and the message it came in;
            when it fails, the peer learns only that.
        @param requiresChannel: Ignore what did not come through a secure
            channel.
        @param maxUnanswered: How many requests may wait for their response;
            more are dropped.
        """
        super().__init__(router, address, consumerIds, incoming)
        self._answer = answer
        self._requiresChannel = requiresChannel
        self._maxUnanswered = maxUnanswered
        self._unanswered: set[Deferred[Response]] = set()

    def stopService(self) -> None:
        """
        Give up the requests without a response.
        """
        super().stopService()
        for waiting in list(self._unanswered):
            waiting.cancel()

    def messageReceived(self, message: LocalMessage) -> None:
        """
        See L{IWorker.messageReceived}.
        """
        if self._requiresChannel and message.peerIdentity is None:
            return
        if len(message.onward_route) != 1 or not message.return_route:
            return
        try:
            request = decodeRequest(message.payload)
        except RemoteProtocolError:
            return
        if len(self._unanswered) >= self._maxUnanswered:
            self._log.warn(
                "A request to {address} was dropped: there are too many",
                address=str(self.address),
                event="requests-too-many",
            )
            return
        try:
            response = self._answer(request, message)
        except Exception:
            self._failed(Failure(), message, request)
            return
        if isinstance(response, Response):
            self._respond(response, message)
            return
        self._unanswered.add(response)
        response.addBoth(self._finished, response)
        response.addCallback(self._respond, message)
        response.addErrback(self._failed, message, request)

    def _finished(self, outcome: Response, waiting: Deferred[Response]) -> Response:
        self._unanswered.discard(waiting)
        return outcome

    def _respond(self, response: Response, message: LocalMessage) -> None:
        if not self.running:
            return
        with self._router.turn:
            self.answer(message, encodeResponse(response))

    def _failed(self, failure: Failure, message: LocalMessage, request: Request) -> None:
        if failure.check(CancelledError):
            return
        self._log.failure("A request to {address} failed", failure, address=str(self.address), event="request-failed")
        self._respond(refuse(request, INTERNAL_ERROR, STATUS[INTERNAL_ERROR]), message)
