"""
Tests of L{ockam_twisted.web.exchange}.
"""

from __future__ import annotations

import h11
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.web.exchange import MAX_HEAD, BadRequest, BadResponse, Exchange

NAME, WHO = "X-Ockam-Identifier", "I" + "0" * 64
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


def heads(data: bytes) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """
    What a target takes from what it gets: request lines and headers, by
    another reading than that of L{Exchange}.
    """
    target, found = h11.Connection(h11.SERVER), []
    target.receive_data(data)
    while not isinstance(event := target.next_event(), type):
        if isinstance(event, h11.Request):
            headers = event.headers.raw_items()
            found.append((event.method + b" " + event.target, {name.lower(): value for name, value in headers}))
            assert len({name.lower() for name, _ in headers}) == len(headers)
        if isinstance(event, h11.EndOfMessage):
            target.send(h11.Response(status_code=204, headers=[]))
            target.send(h11.EndOfMessage())
            if target.our_state is h11.DONE:
                target.start_next_cycle()
    return found


class ExchangeTestCase(SynchronousTestCase):
    """
    One connection.
    """

    def setUp(self) -> None:
        self.exchange = Exchange(NAME, WHO)

    def ask(self, *lines: bytes, body: bytes = b"") -> bytes:
        """
        Send a request.
        """
        return self.exchange.fromClient(b"\r\n".join((*lines, b"", b"")) + body)

    def get(self, *lines: bytes) -> bytes:
        """
        Send a simple one.
        """
        return self.ask(b"GET / HTTP/1.1", b"Host: a", *lines)


class RequestTests(ExchangeTestCase):
    """
    What goes to the target.
    """

    def test_header(self) -> None:
        """
        Each request has the header, once.
        """
        for _ in range(3):
            sent = self.get(b"User-Agent: x", b"Cookie: y")
            self.assertEqual(
                sent,
                b"GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: x\r\nCookie: y\r\nX-Ockam-Identifier: "
                + WHO.encode()
                + b"\r\n\r\n",
            )
            self.assertEqual(self.exchange.fromTarget(EMPTY), b"")

    def test_removed(self) -> None:
        """
        What the client says itself of it does not arrive, however it is
        written.
        """
        spoofed = (
            b"X-Ockam-Identifier: Ievil",
            b"x-ockam-identifier:Ievil",
            b"X_Ockam_Identifier: Ievil",
            b"X-OCKAM_IDENTIFIER: \tIevil",
            b"X-Ockam-Identifier: Ievil\r\n folded",
        )
        for each in (*((one,) for one in spoofed), spoofed):
            self.setUp()
            sent = self.get(*each)
            self.assertNotIn(b"evil", sent, each)
            self.assertNotIn(b"folded", sent)
            self.assertEqual(heads(sent)[0][1][b"x-ockam-identifier"], WHO.encode())

    def test_unproven(self) -> None:
        """
        Where nobody knows who it is, nobody says so.
        """
        self.exchange = Exchange(NAME, "")
        self.assertEqual(self.get(b"X-Ockam-Identifier: Ievil"), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    def test_connection(self) -> None:
        """
        The client cannot have it removed on the way either.
        """
        sent = self.get(b"Connection: keep-alive, X-Ockam-Identifier, x_ockam_identifier")
        self.assertEqual(heads(sent)[0][1][b"connection"], b"keep-alive")
        self.exchange.fromTarget(EMPTY)
        self.assertNotIn(b"connection", heads(self.get(b"Connection: X-Ockam-Identifier"))[0][1])

    def test_trailers(self) -> None:
        """
        Nor say it behind the body.
        """
        sent = self.ask(
            b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked",
            body=b"3\r\nabc\r\n0\r\nX-Ockam-Identifier: Ievil\r\nX-Sum: 1\r\n\r\n",
        )  # fmt: skip
        self.assertNotIn(b"evil", sent)
        self.assertIn(b"X-Sum: 1", sent)

    def test_bodies(self) -> None:
        """
        Bodies arrive as they are, with a length or in chunks, and in whatever
        pieces they come.
        """
        body = bytes(range(256)) * 40
        counted = b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        chunks = b"".join(
            b"%x\r\n%b\r\n" % (len(body[i : i + 999]), body[i : i + 999]) for i in range(0, len(body), 999)
        )
        chunked = b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
        for data in (counted, chunked):
            for size in (1, 17, 100_000):
                self.setUp()
                sent = b"".join(self.exchange.fromClient(data[i : i + size]) for i in range(0, len(data), size))
                target = h11.Connection(h11.SERVER)
                target.receive_data(sent)
                got = b""
                while not isinstance(event := target.next_event(), h11.EndOfMessage):
                    got += bytes(event.data) if isinstance(event, h11.Data) else b""
                self.assertEqual(got, body)

    def test_pipelined(self) -> None:
        """
        Requests that come at once go one after the other, each with the
        header.
        """
        one = b"GET /%d HTTP/1.1\r\nHost: a\r\nX-Ockam-Identifier: Ievil\r\n\r\n"
        sent = [self.exchange.fromClient(b"".join(one % each for each in range(5)))]
        for _ in range(4):
            self.assertTrue(self.exchange.isHeld)
            sent.append(self.exchange.fromTarget(EMPTY))
        for number, each in enumerate(sent):
            line, headers = heads(each)[0]
            self.assertEqual((line, headers[b"x-ockam-identifier"]), (b"GET /%d" % number, WHO.encode()))
        self.exchange.fromTarget(EMPTY)
        self.assertFalse(self.exchange.isHeld)

    def test_earlyAnswer(self) -> None:
        """
        A response may come before the request is over; the next one waits for
        both.
        """
        self.ask(b"PUT / HTTP/1.1", b"Host: a", b"Content-Length: 6", body=b"abc")
        self.assertEqual(self.exchange.fromTarget(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), b"")
        self.assertEqual(self.exchange.fromClient(b"def"), b"def")
        self.assertTrue(self.get().startswith(b"GET / HTTP/1.1\r\n"))

    def test_oldVersion(self) -> None:
        """
        A client of HTTP/1.0 is answered in its own words, once.
        """
        sent = self.ask(b"GET / HTTP/1.0", b"Connection: keep-alive", b"Host: a")
        self.assertTrue(sent.startswith(b"GET / HTTP/1.0\r\n"), sent)
        self.assertIn(WHO.encode(), sent)
        self.assertNotIn(b"keep-alive", sent)
        self.exchange.fromTarget(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
        self.assertTrue(self.exchange.isOver)
        self.assertEqual(self.get(), b"")

    def test_closing(self) -> None:
        """
        After a request that says it is the last one nothing is passed on.
        """
        self.get(b"Connection: close")
        self.exchange.fromTarget(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        self.assertTrue(self.exchange.isOver)
        self.assertEqual(self.exchange.fromClient(b"GET /again HTTP/1.1\r\nHost: a\r\n\r\n"), b"")


class HostileTests(ExchangeTestCase):
    """
    Requests that two readers may take for different ones.
    """

    def test_table(self) -> None:
        """
        What is ambiguous is refused, or arrives as something that is not.
        """
        smuggled = b"GET /admin HTTP/1.1\r\nHost: a\r\nX-Ockam-Identifier: Ievil\r\n\r\n"
        post = b"POST / HTTP/1.1\r\nHost: a\r\n"
        size = b"%d" % len(smuggled)
        table = {
            "CL.TE": post + b"Content-Length: " + size + b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
            "TE.CL": post + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + smuggled,
            "two lengths": post + b"Content-Length: 0\r\nContent-Length: " + size + b"\r\n\r\n" + smuggled,
            "lengths in one": post + b"Content-Length: 0, " + size + b"\r\n\r\n" + smuggled,
            "signed length": post + b"Content-Length: +0\r\n\r\n" + smuggled,
            "negative length": post + b"Content-Length: -1\r\n\r\n" + smuggled,
            "hexadecimal length": post + b"Content-Length: 0x10\r\n\r\n" + smuggled,
            "space in name": post + b"Content-Length : " + size + b"\r\n\r\n" + smuggled,
            "space before name": post + b"Host: b\r\n" + smuggled,
            "other coding": post + b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n" + smuggled,
            "two codings": post + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + smuggled,
            "coding twice": post + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "vertical tab": post + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n" + smuggled,
            "zero byte": post + b"X: a\x00b\r\n\r\n" + smuggled,
            "bare CR": post + b"X: a\rX-Ockam-Identifier: Ievil\r\n\r\n",
            "no host": b"GET / HTTP/1.1\r\n\r\n",
            "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "old and chunked": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled,
            "version 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "version 9": b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
            "no version": b"GET /\r\n\r\n",
            "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            "tunnel": b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
            "chunk size": post + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
            "chunk end": post + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n",
            "long chunk size": post + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 70_000,
            "long head": post + b"X: " + b"a" * MAX_HEAD,
        }
        for what, data in table.items():
            for size_ in (1, len(data)):
                self.setUp()
                sent = b""
                try:
                    for start in range(0, len(data), size_):
                        sent += self.exchange.fromClient(data[start : start + size_])
                except BadRequest as error:
                    self.assertTrue(str(error), what)
                else:
                    self.fail(f"{what}: {sent!r}")
                self.assertNotIn(b"Ievil", sent, what)
                self.assertNotIn(b"/admin", sent, what)

    def test_lengthTwice(self) -> None:
        """
        The same length twice arrives once; what follows the body is a
        request of its own.
        """
        sent = self.ask(b"POST / HTTP/1.1", b"Host: a", b"Content-Length: 3", b"Content-Length: 3", body=b"abcGET")
        self.assertEqual(sent.lower().count(b"content-length"), 1)
        self.assertTrue(sent.endswith(b"abc"))

    def test_chunkExtensions(self) -> None:
        """
        Extensions of chunks do not arrive: some take them for lines.
        """
        sent = self.ask(
            b"POST / HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked", body=b"3;x=y\r\nabc\r\n0;z\r\n\r\n"
        )
        self.assertTrue(sent.endswith(b"3\r\nabc\r\n0\r\n\r\n"), sent)

    def test_bareNewlines(self) -> None:
        """
        Lines that end with half an end arrive with a whole one.
        """
        sent = self.exchange.fromClient(b"GET / HTTP/1.1\nHost: a\nX-Ockam-Identifier: Ievil\n\n")
        self.assertNotIn(b"evil", sent)
        self.assertEqual(sent.count(b"\n"), sent.count(b"\r\n"))


class SwitchTests(ExchangeTestCase):
    """
    Leaving HTTP.
    """

    websocket = (b"Connection: Upgrade, X-Ockam-Identifier", b"Upgrade: websocket", b"Sec-WebSocket-Key: x")
    switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

    def test_webSocket(self) -> None:
        """
        After the target has agreed, bytes are passed on as they are, and none
        before.
        """
        sent = self.get(*self.websocket)
        headers = heads(sent)[0][1]
        self.assertEqual((headers[b"upgrade"], headers[b"connection"]), (b"websocket", b"Upgrade"))
        self.assertEqual(headers[b"x-ockam-identifier"], WHO.encode())
        self.assertEqual(self.exchange.fromClient(b"\x81\x00"), b"")
        self.assertEqual(self.exchange.fromTarget(self.switching + b"\x81\x01a"), b"\x81\x00")
        self.assertTrue(self.exchange.isSwitched)
        self.assertEqual(self.exchange.fromClient(b"GET / HTTP/1.1\r\n\r\n"), b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(self.exchange.fromTarget(b"\x82\x00"), b"")

    def test_refusedSwitch(self) -> None:
        """
        Where the target does not agree, it is HTTP as before.
        """
        self.get(*self.websocket)
        self.exchange.fromClient(b"GET /next HTTP/1.1\r\nHost: a\r\nX-Ockam-Identifier: Ievil\r\n\r\n")
        following = self.exchange.fromTarget(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        self.assertFalse(self.exchange.isSwitched)
        self.assertEqual(heads(following)[0][1][b"x-ockam-identifier"], WHO.encode())

    def test_others(self) -> None:
        """
        Nobody switches to a protocol in which headers can be written without
        us, and a target is not even asked.
        """
        for value in (b"h2c", b"h2c, websocket", b"websocket, h2c", b"TLS/1.0", b"HTTP/2.0"):
            self.setUp()
            sent = self.get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + value, b"HTTP2-Settings: AAMAAABk")
            headers = heads(sent)[0][1]
            self.assertFalse({b"upgrade", b"http2-settings", b"connection"} & headers.keys(), value)
        self.assertRaises(BadResponse, self.exchange.fromTarget, self.switching)

    def test_inBetween(self) -> None:
        """
        Words in between are not the answer.
        """
        self.ask(b"PUT / HTTP/1.1", b"Host: a", b"Expect: 100-continue", b"Content-Length: 3")
        self.exchange.fromTarget(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        self.assertEqual(self.exchange.fromClient(b"abc"), b"abc")
        self.exchange.fromTarget(EMPTY)
        self.assertTrue(self.get())


class ResponseTests(ExchangeTestCase):
    """
    Where responses end.
    """

    def test_ends(self) -> None:
        """
        However a response ends, the next request goes then, and not before;
        one without an end has none behind it.
        """
        table = {
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc": True,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n": True,
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n": True,
            EMPTY: True,
            b"HTTP/1.1 200 OK\r\n\r\nabc": False,
        }
        for data, ends in table.items():
            for size in (1, len(data)):
                self.setUp()
                self.get()
                self.assertEqual(self.get(), b"")
                sent = []
                for start in range(0, len(data), size):
                    self.assertEqual(b"".join(sent), b"", data)
                    sent.append(self.exchange.fromTarget(data[start : start + size]))
                self.assertEqual(bool(b"".join(sent)), ends, data)

    def test_head(self) -> None:
        """
        The answer to HEAD has no body, whatever it says.
        """
        self.ask(b"HEAD / HTTP/1.1", b"Host: a")
        self.exchange.fromTarget(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        self.assertTrue(self.get())

    def test_noHTTP(self) -> None:
        """
        A target that speaks something else is told apart.
        """
        self.get()
        self.assertRaises(BadResponse, self.exchange.fromTarget, b"SSH-2.0-x\r\n\r\n")

    def test_unasked(self) -> None:
        """
        Who answers when nobody has asked is about to close: no request is
        passed on any more.
        """
        self.exchange.fromTarget(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n")
        self.assertTrue(self.exchange.isOver)
        self.assertEqual(self.get(), b"")
