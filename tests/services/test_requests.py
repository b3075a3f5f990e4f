"""
Tests for L{ockam_twisted.services.requests}.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from ockam_twisted.errors import ConnectionClosed, DecodeError, NoRoute, RequestFailed, TimedOut
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.services.requests import (
    RequestWorker,
    accepted,
    request,
    requestRaw,
)
from ockam_twisted.wire.api import GET, Request, Response, encodeRequest, newId, refuse, respond
from tests.services.common import ServiceTestCase


class RawTests(ServiceTestCase):
    """
    Tests for L{requestRaw}.
    """

    def ask_(self, name: str, timeout: float = 5.0) -> Deferred[bytes]:
        """
        Ask Bob.
        """
        route = self.hop.route(name)
        flow = self.alice.router.flowControls.producerId(route[0])
        assert flow is not None
        result = requestRaw(self.alice.router, self.network.clock, route, b"question", timeout)
        self.network.pump()
        return result

    def assertNothingLeft(self, workers: int) -> None:
        """
        No worker, and no timer, of a request.
        """
        self.assertEqual(len(self.alice.router._mailboxes), workers)
        self.assertEqual(self.network.clock.getDelayedCalls(), [])

    def test_answer(self) -> None:
        """
        The first answer counts.
        """
        workers = len(self.alice.router._mailboxes)
        self.bob.inbox("echo", *self.ids, echo=True)
        self.assertEqual(self.successResultOf(self.ask_("echo")), b"question")
        self.assertNothingLeft(workers)

    def test_silence(self) -> None:
        """
        Nobody answers in time.
        """
        workers = len(self.alice.router._mailboxes)
        result = self.ask_("nobody")
        self.network.advance(4.9)
        self.assertNoResult(result)
        self.network.advance(0.2)
        self.failureResultOf(result, TimedOut)
        self.assertNothingLeft(workers)

    def test_lost(self) -> None:
        """
        The connection goes away meanwhile.
        """
        result = self.ask_("nobody")
        self.hop.cut()
        self.network.pump()
        self.failureResultOf(result, ConnectionClosed)
        self.failureResultOf(self.ask2(), NoRoute)

    def ask2(self) -> Deferred[bytes]:
        """
        Ask along a route that begins nowhere.
        """
        return requestRaw(self.alice.router, self.network.clock, Route.of("gone", "x"), b"", 5.0)

    def test_noRoute(self) -> None:
        """
        It cannot even leave.
        """
        workers = len(self.alice.router._mailboxes)
        self.failureResultOf(self.ask2(), NoRoute)
        self.failureResultOf(requestRaw(self.alice.router, self.network.clock, Route(), b"", 5.0), NoRoute)
        self.assertNothingLeft(workers)

    def test_canceled(self) -> None:
        """
        Whoever gives up leaves nothing.
        """
        workers = len(self.alice.router._mailboxes)
        result = self.ask_("nobody")
        result.cancel()
        self.failureResultOf(result, CancelledError)
        self.assertNothingLeft(workers)


class RequestTests(ServiceTestCase):
    """
    Tests for L{request} and L{RequestWorker}.
    """

    def worker(self, answer: object, **options: object) -> RequestWorker:
        """
        Bob answers requests so.
        """
        worker = RequestWorker(self.bob.router, Address.local("api2"), answer, self.ids, **options)  # type: ignore[arg-type]
        worker.startService()
        return worker

    def get(self, path: str = "/", secure: bool = True) -> Deferred[Response]:
        """
        Ask.
        """
        first = self.secure.encryptor if secure else self.hop.route()[0]
        route = Route((first, Address.local("api2")))
        result = request(self.alice.router, self.network.clock, route, Request(newId(), path, GET), 5.0)
        self.network.pump()
        return result

    def test_ok(self) -> None:
        """
        A request is answered; the response names it.
        """
        seen: list[Request] = []

        def answer(request: Request, message: LocalMessage) -> Response:
            seen.append(request)
            return respond(request, b"\x01")

        self.worker(answer)
        response = accepted(self.successResultOf(self.get("/path")))
        self.assertEqual((response.re, response.body, seen[0].path), (seen[0].id, b"\x01", "/path"))

    def test_refused(self) -> None:
        """
        A refusal is a failure for who wants success, in words of the peer
        that are fit for a log.
        """
        self.worker(lambda request, message: refuse(request, 404, "no such\nthing"))
        response = self.successResultOf(self.get())
        error = self.assertRaises(RequestFailed, accepted, response)
        self.assertIn("no such", str(error))
        self.assertNotIn("\n", str(error))

    def test_withoutChannel(self) -> None:
        """
        Over a plain connection nothing is answered, unless that is wanted.
        """
        worker = self.worker(lambda request, message: respond(request))
        self.assertNoResult(self.get(secure=False).addErrback(lambda failure: None))
        worker.stopService()
        self.worker(lambda request, message: respond(request), requiresChannel=False)
        accepted(self.successResultOf(self.get(secure=False)))

    def test_fails(self) -> None:
        """
        A mistake of ours is told as that, and no more of it.
        """

        def answer(request: Request, message: LocalMessage) -> Response:
            raise RuntimeError("secret")

        self.worker(answer)
        response = self.successResultOf(self.get())
        self.assertEqual(response.status, 500)
        self.assertNotIn(b"secret", response.body or b"")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_later(self) -> None:
        """
        An answer may take its time; too many at once are dropped, and a stop
        gives up those that wait.
        """
        waiting: list[Deferred[Response]] = []

        def answer(request: Request, message: LocalMessage) -> Deferred[Response]:
            waiting.append(Deferred())
            return waiting[-1].addCallback(lambda _: respond(request))

        worker = self.worker(answer, maxUnanswered=2)
        results = [self.get() for _ in range(3)]
        self.assertEqual(len(waiting), 2)
        waiting[0].callback(None)  # type: ignore[arg-type]
        self.network.pump()
        self.successResultOf(results[0])
        worker.stopService()
        self.network.advance(6)
        self.failureResultOf(results[1], TimedOut)
        self.failureResultOf(results[2], TimedOut)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_nonsense(self) -> None:
        """
        What is no request gets no response, and what is no response is an
        error.
        """
        self.worker(lambda request, message: respond(request))
        self.assertEqual(self.ask("api2", b"\xff\xff", True), [])
        good = encodeRequest(Request(newId(), "/", GET))
        self.assertEqual(self.ask("api2", good[:-1], True), [])
        self.bob.inbox("parrot", *self.ids, echo=True)
        route = self.hop.route("parrot")
        result = request(self.alice.router, self.network.clock, route, Request(newId(), "/", GET), 5.0)
        self.network.pump()
        self.failureResultOf(result, DecodeError)
