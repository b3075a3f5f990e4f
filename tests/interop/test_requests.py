"""
Requests and responses between a node of ours, in this process, and Rust nodes
of two releases; over real sockets and in real time.
"""

from __future__ import annotations

from twisted.internet.threads import deferToThread

from ockam_twisted.errors import OckamError, RequestFailed
from ockam_twisted.identity.trust import TrustEveryone
from ockam_twisted.routing.addresses import Address, Route
from ockam_twisted.routing.local_message import LocalMessage
from ockam_twisted.services.requests import RequestWorker, accepted, request, requestRaw
from ockam_twisted.wire import cbor
from ockam_twisted.wire.api import METHODS, Request, Response, newId, refuse, respond
from tests.interop.nodes import NodeTestCase, eachRelease

#: What the Rust peer's worker answers, by method.
ANSWERS = (("GET", "/", 200), ("GET", "/missing", 404), ("POST", "/", 400), ("PUT", "/", 403), ("DELETE", "/", 500))
NUMBERS = {"GET": 0, "POST": 1, "PUT": 2, "DELETE": 3, "PATCH": 4}


@eachRelease
class RequestTests(NodeTestCase):
    """
    Each side asks the other one.
    """

    async def test_weAsk(self) -> None:
        """
        Every status comes through, with what was said about it, over a plain
        connection and over a channel; nonsense gets no answer and harms
        nothing.
        """
        self.assertEqual(set(NUMBERS.values()), set(METHODS))
        port = self.port()
        program = self.rust(self.release, "listener", "--listen", f"127.0.0.1:{port}", "--secure", "api")
        await deferToThread(program.value, "Ready")
        node = await self.node()
        connection = await node.connect(f"127.0.0.1:{port}")
        channel = await node.createSecureChannel([*connection, "api"], trust=TrustEveryone())
        for first in (connection[0], channel.encryptor):
            route = Route((first, Address.local("requests")))
            for nonsense in (b"", b"\x03\xff\xff\xff", b"\x80"):
                with node.router.turn:
                    lost = requestRaw(node.router, node.reactor, route, nonsense, 0.3)
                await self.assertFailure(lost, OckamError)
            for method, path, status in (*ANSWERS, ("PATCH", "/", 501)):
                asked = Request(newId(), path, NUMBERS[method])
                with node.router.turn:
                    waiting = request(node.router, node.reactor, route, asked, 10)
                response = await waiting
                self.assertEqual((response.re, response.status), (asked.id, status))
                if status == 200:
                    self.assertEqual(accepted(response).body, cbor.encode("all is well"))
                else:
                    error = self.assertRaises(RequestFailed, accepted, response)
                    self.assertIn("this cannot be done", str(error))

    async def test_theyAsk(self) -> None:
        """
        The same the other way round.
        """
        node = await self.node()

        def answer(asked: Request, message: LocalMessage) -> Response:
            for method, path, status in ANSWERS:
                if (NUMBERS[method], path) == (asked.method, asked.path) and status != 200:
                    return refuse(asked, status, f"not {method} {path}")
            return respond(asked, cbor.encode("all is well"))

        listener = node.createSecureChannelListener(TrustEveryone())
        ids = (listener.flowId, node.transport.listenerId)
        worker = RequestWorker(node.router, Address.local("requests"), answer, ids, requiresChannel=False)
        worker.startService()
        self.addCleanup(worker.stopService)
        port = await self.listening(node)
        for way in ("/secure/api/service/requests", "/service/requests"):
            for method, path, status in ANSWERS:
                said = await deferToThread(
                    self.ask, self.release, "request", "--to", f"/dnsaddr/127.0.0.1/tcp/{port}{way}",
                    "--method", method, "--path", path,
                )  # fmt: skip
                self.assertEqual(said["Status"].split()[0], str(status))
                if status == 200:
                    self.assertEqual(said["Body"], "all is well")
                else:
                    self.assertEqual(said["Error"], f"not {method} {path}")
