"""
Tests for L{ockam_twisted.wire.api}.
"""

from __future__ import annotations

import json
from pathlib import Path

import cbor2
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire import api, bare, cbor
from ockam_twisted.wire.api import (
    ApiError,
    Request,
    Response,
    decodeApiError,
    decodeRequest,
    decodeResponse,
    encodeApiError,
    encodeRequest,
    encodeResponse,
)

fuzz = settings(deadline=None, max_examples=200, derandomize=True, database=None)

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "vectors.json").read_text())["derived"]
ITEM = cbor2.dumps({1: b"body"})


def wrapped(header: object, body: bytes = b"") -> bytes:
    """
    A payload with any header.
    """
    return bare.data(cbor2.dumps(header) + body)


class RequestTests(SynchronousTestCase):
    """
    Requests.
    """

    def test_specification(self) -> None:
        """
        The example of the specification.
        """
        request = Request(0x01020304, "/node", api.GET)
        payload = bytes.fromhex("12a4011a0102030402652f6e6f6465030004f4")
        self.assertEqual(encodeRequest(request), payload)
        self.assertEqual(decodeRequest(payload), request)

    def test_vectors(self) -> None:
        """
        The requests of the vectors.
        """
        issue = VECTORS["api_request_issue_credential"]
        present = VECTORS["api_request_present_token"]
        code = bytes.fromhex(present["one_time_code"])
        for vector, request in (
            (issue, Request(issue["request_id"], "/", api.POST)),
            (present, Request(present["request_id"], "/", api.POST, cbor2.dumps({1: code}))),
        ):
            payload = bytes.fromhex(vector["worker_payload"])
            self.assertEqual(encodeRequest(request), payload)
            self.assertEqual(decodeRequest(payload), request)
            self.assertEqual(payload[1:].hex(), vector["cbor"])

    def test_optional(self) -> None:
        """
        The method may be absent or unknown, newer and older keys are skipped.
        """
        for header in (
            {1: 7, 2: "p", 4: False},
            {1: 7, 2: "p", 3: None, 4: False},
            {1: 7, 2: "p", 3: 5, 4: False},
            {0: 1234, 1: 7, 2: "p", 4: False, 9: [{"x": 1}]},
            {4: False, 2: "p", 1: 7},
        ):
            self.assertEqual(decodeRequest(wrapped(header)), Request(7, "p", None))
        self.assertEqual(encodeRequest(Request(7, "p", None)), wrapped({1: 7, 2: "p", 4: False}))

    def test_refused(self) -> None:
        """
        Missing and repeated fields, other types, bodies that are missing or
        not announced, and wrong lengths are refused.
        """
        good = {1: 1, 2: "/", 3: 0, 4: True}
        self.assertEqual(decodeRequest(wrapped(good, ITEM)), Request(1, "/", api.GET, ITEM))
        for payload in (
            b"",
            b"\x00",
            wrapped(good),
            wrapped(good, ITEM + b"\x00"),
            wrapped(good, ITEM[:-1]),
            wrapped(good, ITEM) + b"\x00",
            wrapped(good, ITEM)[:-1],
            wrapped({**good, 4: False}, ITEM),
            wrapped({1: 1, 2: "/"}),
            wrapped({2: "/", 4: False}),
            wrapped({1: 1, 4: False}),
            wrapped({1: 2**32, 2: "/", 4: False}),
            wrapped({1: "1", 2: "/", 4: False}),
            wrapped({1: 1, 2: b"/", 4: False}),
            wrapped({1: 1, 2: "/", 3: "GET", 4: False}),
            wrapped({1: 1, 2: "/", 4: 0}),
            wrapped({1: 1, 2: "/" * 1025, 4: False}),
            wrapped({1: 1, 2: "/", 4: False, "x": 1}),
            wrapped({1: 1, 2: "/", 4: False, **{n: 0 for n in range(5, 70)}}),
            wrapped([1, "/", 0, False]),
            bare.data(bytes.fromhex("a4010101010261 2f04f4".replace(" ", ""))),
        ):
            self.assertRaises(DecodeError, decodeRequest, payload)

    def test_tooMuchToSkip(self) -> None:
        """
        A body is bounded together with the newer keys of the header.
        """
        header = {1: 1, 2: "/", 3: 0, 4: True, 9: [0] * 99}
        body = cbor2.dumps([0] * (cbor.MAX_ITEMS - 101))
        self.assertEqual(decodeRequest(wrapped(header, body)).body, body)
        self.assertRaises(DecodeError, decodeRequest, wrapped(header, cbor2.dumps([0] * (cbor.MAX_ITEMS - 100))))

    def test_unencodable(self) -> None:
        """
        Fields out of bounds are refused.
        """
        for request in (Request(2**32, "/", 0), Request(-1, "/", 0), Request(1, "/", 5), Request(1, "/" * 1025, 0)):
            self.assertRaises(EncodeError, encodeRequest, request)

    @fuzz
    @given(st.integers(0, 2**32 - 1), st.text(max_size=50), st.sampled_from([None, *api.METHODS]), st.booleans())
    def test_oracle(self, id: int, path: str, method: int | None, hasBody: bool) -> None:
        """
        Encoding agrees with cbor2, and decoding gives back what was encoded.
        """
        request = Request(id, path, method, ITEM if hasBody else None)
        header = {1: id, 2: path, 3: method, 4: hasBody}
        if method is None:
            del header[3]
        payload = encodeRequest(request)
        self.assertEqual(payload, wrapped(header, ITEM if hasBody else b""))
        self.assertEqual(decodeRequest(memoryview(payload)), request)


class ResponseTests(SynchronousTestCase):
    """
    Responses.
    """

    def test_specification(self) -> None:
        """
        The examples of the specification.
        """
        for response, header in (
            (Response(0x0A0B0C0D, 0x01020304, api.OK, ITEM), "a4011a0a0b0c0d021a010203040318c804f5"),
            (Response(1, 0x01020304, api.NOT_FOUND, ITEM), "a40101021a010203040319019404f5"),
        ):
            payload = bare.data(bytes.fromhex(header) + ITEM)
            self.assertEqual(encodeResponse(response), payload)
            self.assertEqual(decodeResponse(payload), response)

    def test_optional(self) -> None:
        """
        The status may be absent or unknown.
        """
        for header in ({1: 1, 2: 0, 4: False}, {1: 1, 2: 0, 3: 299, 4: False}):
            self.assertEqual(decodeResponse(wrapped(header)), Response(1, 0, None))

    def test_long(self) -> None:
        """
        A body may have as many items as all members are: it was asked for.
        """
        body = cbor2.dumps([0] * 2 * cbor.MAX_ITEMS)
        self.assertEqual(decodeResponse(wrapped({1: 1, 2: 0, 3: 200, 4: True}, body)).body, body)

    def test_unencodable(self) -> None:
        """
        Fields out of bounds are refused.
        """
        for response in (Response(2**32, 0, 200), Response(1, 2**32, 200), Response(1, 0, 299)):
            self.assertRaises(EncodeError, encodeResponse, response)

    def test_requestIsNoResponse(self) -> None:
        """
        The two are told apart by their second field.
        """
        self.assertRaises(DecodeError, decodeResponse, encodeRequest(Request(1, "/", 0)))
        self.assertRaises(DecodeError, decodeRequest, encodeResponse(Response(1, 1, 200)))

    def test_statusesHaveWords(self) -> None:
        """
        The statuses are those of the specification.
        """
        self.assertEqual(sorted(api.STATUS), [200, 400, 401, 403, 404, 405, 408, 409, 500, 501])
        self.assertEqual(list(api.METHODS.items()), list(enumerate(["GET", "POST", "PUT", "DELETE", "PATCH"])))


class ApiErrorTests(SynchronousTestCase):
    """
    Bodies of responses that are not 200.
    """

    def test_specification(self) -> None:
        """
        The example of the specification.
        """
        body = bytes.fromhex("a301622f780200 03646e6f7065".replace(" ", ""))
        error = ApiError("/x", api.GET, "nope")
        self.assertEqual(encodeApiError(error), body)
        self.assertEqual(decodeApiError(body), error)

    def test_forms(self) -> None:
        """
        An error may be empty, a plain text, or have causes.
        """
        self.assertEqual(decodeApiError(b"\xa0"), ApiError())
        self.assertEqual(decodeApiError(cbor2.dumps("nope")), ApiError(message="nope"))
        self.assertEqual(decodeApiError(cbor2.dumps({4: "why", 7: []})), ApiError(cause=ApiError(message="why")))
        error = ApiError("/", 1, "outer", ApiError(message="inner", cause=ApiError(path="/")))
        self.assertEqual(decodeApiError(encodeApiError(error)), error)
        self.assertEqual(decodeApiError(b"\xa1\x02\x09"), ApiError())

    def test_causesAreBounded(self) -> None:
        """
        Eight causes are allowed, more are refused in both directions.
        """
        error = ApiError()
        for _ in range(8):
            error = ApiError(cause=error)
        self.assertEqual(decodeApiError(encodeApiError(error)), error)
        self.assertRaises(EncodeError, encodeApiError, ApiError(cause=error))
        self.assertRaises(DecodeError, decodeApiError, b"\xa1\x04" * 9 + b"\xa0")
        self.assertRaises(DecodeError, decodeApiError, b"\xa1\x04" * 10000 + b"\xa0")

    def test_refused(self) -> None:
        """
        Anything else is refused.
        """
        for body in (b"", b"\x00", b"\x80", b"\xa0\x00", b"\xa1\x01\x00", b"\xa1\x03", cbor2.dumps("x" * 4097)):
            self.assertRaises(DecodeError, decodeApiError, body)


class FuzzTests(SynchronousTestCase):
    """
    What a hostile peer may send.
    """

    @fuzz
    @given(st.data())
    def test_mutated(self, data: st.DataObject) -> None:
        """
        Valid payloads with bytes changed raise nothing but our error.
        """
        for payload in (
            encodeRequest(Request(7, "/path", 1, ITEM)),
            encodeResponse(Response(7, 8, 404, ITEM)),
            encodeApiError(ApiError("/", 1, "outer", ApiError(message="inner"))),
        ):
            mutant = bytearray(payload)
            for _ in range(data.draw(st.integers(0, 2))):
                mutant[data.draw(st.integers(0, len(mutant) - 1))] = data.draw(st.integers(0, 255))
            cut = bytes(mutant[: len(mutant) - data.draw(st.sampled_from([0, 0, 1, 3]))])
            for decode in (decodeRequest, decodeResponse, decodeApiError):
                try:
                    decode(cut)
                except DecodeError:
                    continue

    @fuzz
    @given(st.binary(max_size=60))
    def test_arbitrary(self, data: bytes) -> None:
        """
        Any bytes are what they should be or our error.
        """
        for decode in (decodeRequest, decodeResponse, decodeApiError):
            for payload in (data, bare.data(data)):
                try:
                    decode(payload)
                except DecodeError:
                    continue
