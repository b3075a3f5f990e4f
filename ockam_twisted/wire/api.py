"""
The request/response API (spec portals, section 9): a header and perhaps a
body, two CBOR items one after the other, together wrapped as one BARE data.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from attrs import frozen

from ockam_twisted.errors import DecodeError, EncodeError
from ockam_twisted.wire import bare, cbor

GET, POST, PUT, DELETE, PATCH = range(5)

#: Methods by number.
METHODS = {GET: "GET", POST: "POST", PUT: "PUT", DELETE: "DELETE", PATCH: "PATCH"}

OK = 200
BAD_REQUEST = 400
UNAUTHORIZED = 401
FORBIDDEN = 403
NOT_FOUND = 404
METHOD_NOT_ALLOWED = 405
TIMEOUT = 408
CONFLICT = 409
INTERNAL_ERROR = 500
NOT_IMPLEMENTED = 501

#: Status values, with what they mean.
STATUS = {
    OK: "ok",
    BAD_REQUEST: "bad request",
    UNAUTHORIZED: "unauthorized",
    FORBIDDEN: "forbidden",
    NOT_FOUND: "not found",
    METHOD_NOT_ALLOWED: "method not allowed",
    TIMEOUT: "timeout",
    CONFLICT: "conflict",
    INTERNAL_ERROR: "internal error",
    NOT_IMPLEMENTED: "not implemented",
}

#: Bounds of our own, in bytes, in pairs of a map, and in errors that caused
#: each other.
MAX_PATH = 1024
MAX_TEXT = 4096
MAX_PAIRS = 64
MAX_CAUSES = 8

_MAX_ID = 2**32 - 1


@frozen
class Request:
    """
    A request.

    @ivar id: Chosen at random, not 0.
    @ivar path: Parts joined by C{/}; a leading C{/} is optional.
    @ivar method: One of L{METHODS}; L{None} if there is none we know.
    @ivar body: One CBOR item, encoded.
    """

    id: int
    path: str
    method: int | None
    body: bytes | None = None


@frozen
class Response:
    """
    A response.

    @ivar id: Chosen at random.
    @ivar re: The id of the request; 0 if the service did not say.
    @ivar status: One of L{STATUS}; L{None} if there is none we know.
    @ivar body: One CBOR item, encoded.
    """

    id: int
    re: int
    status: int | None
    body: bytes | None = None


@frozen
class ApiError:
    """
    The body of a response that is not L{OK}.

    @ivar path: The path of the request.
    @ivar method: Its method, if it is one of L{METHODS}.
    @ivar message: What went wrong, in words of the peer: not fit for a log as
        it is.
    @ivar cause: The error that caused it.
    """

    path: str | None = None
    method: int | None = None
    message: str | None = None
    cause: ApiError | None = None


def newId() -> int:
    """
    A fresh id for a request or a response: random, not 0.
    """
    return int.from_bytes(os.urandom(4), "big") or 1


def respond(request: Request, body: bytes | None = None) -> Response:
    """
    The response that all went well.

    @param body: One CBOR item, encoded.
    """
    return Response(newId(), request.id, OK, body)


def refuse(request: Request, status: int, reason: str) -> Response:
    """
    The response that it did not.

    @param reason: In words, for the peer.
    """
    return Response(newId(), request.id, status, encodeApiError(ApiError(request.path, request.method, reason)))


def encodeRequest(request: Request) -> bytes:
    """
    Encode a request as the payload of a message.

    @raise EncodeError: A field is out of bounds.
    """
    if request.method is not None and request.method not in METHODS:
        raise EncodeError("a request has an unknown method")
    if len(request.path.encode("utf-8", "replace")) > MAX_PATH:
        raise EncodeError(f"a path has at most {MAX_PATH} bytes")
    return _encode(request.id, request.path, request.method, request.body)


def encodeResponse(response: Response) -> bytes:
    """
    Encode a response as the payload of a message.

    @raise EncodeError: A field is out of bounds.
    """
    if response.status is not None and response.status not in STATUS:
        raise EncodeError("a response has an unknown status")
    if not 0 <= response.re <= _MAX_ID:
        raise EncodeError("a request id has 32 bits")
    return _encode(response.id, response.re, response.status, response.body)


def _encode(id: int, second: int | str, third: int | None, body: bytes | None) -> bytes:
    if not 0 <= id <= _MAX_ID:
        raise EncodeError("an id has 32 bits")
    header: dict[int, Any] = {1: id, 2: second, 3: third, 4: body is not None}
    if third is None:
        del header[3]
    return bare.data(cbor.encode(header) + (body or b""))


def decodeRequest(payload: bytes | memoryview) -> Request:
    """
    Decode the payload of a message as a request.

    @raise DecodeError: It is none, or it is out of bounds.
    """
    fields, body = _decode(payload, lambda reader: reader.readText(MAX_PATH), cbor.MAX_ITEMS)
    method = fields.get(3)
    return Request(fields[1], fields[2], method if method in METHODS else None, body)


def decodeResponse(payload: bytes | memoryview) -> Response:
    """
    Decode the payload of a message as a response.

    @raise DecodeError: It is none, or it is out of bounds.
    """
    # Who answers was asked, and all members are many items.
    fields, body = _decode(payload, _readId, len(payload))
    status = fields.get(3)
    return Response(fields[1], fields[2], status if status in STATUS else None, body)


def _readId(reader: cbor.Reader) -> int:
    return reader.readUint(_MAX_ID)


def _decode(
    payload: bytes | memoryview, readSecond: Callable[[cbor.Reader], Any], skippable: int
) -> tuple[dict[int, Any], bytes | None]:
    """
    @param skippable: How many items the body and unknown fields may have.
    @return: The fields of the header, 1, 2 and 4 among them, and the body.
    """
    outer = bare.Reader(payload)
    content = outer.readData(len(payload))
    outer.expectEnd()
    reader = cbor.Reader(content, skippable=skippable)
    fields = readFields(
        reader,
        {1: _readId, 2: readSecond, 3: cbor.Reader.readUint, 4: cbor.Reader.readBool},
    )
    if not {1, 2, 4} <= fields.keys():
        raise DecodeError("a header has too few fields")
    body = None
    if fields[4]:
        start = reader.position
        reader.skip()
        body = content[start : reader.position]
    reader.expectEnd()
    return fields, body


def readFields(reader: cbor.Reader, known: dict[int, Callable[[cbor.Reader], Any]]) -> dict[int, Any]:
    """
    Read a map with the given fields; others, and those that are null, are
    skipped.
    """
    fields: dict[int, Any] = {}
    seen = set()
    for _ in range(reader.readMapHead(MAX_PAIRS)):
        key = reader.readUint()
        if key in seen:
            raise DecodeError("a map has a key twice")
        seen.add(key)
        if key not in known:
            reader.skip()
        elif not reader.readNull():
            fields[key] = known[key](reader)
    return fields


def encodeApiError(error: ApiError) -> bytes:
    """
    Encode an error as the body of a response.

    @raise EncodeError: It has more than L{MAX_CAUSES} causes.
    """
    return cbor.encode(_errorFields(error, MAX_CAUSES))


def _errorFields(error: ApiError, depth: int) -> dict[int, Any]:
    if depth < 0:
        raise EncodeError(f"an error has at most {MAX_CAUSES} causes")
    cause = None if error.cause is None else _errorFields(error.cause, depth - 1)
    fields = {1: error.path, 2: error.method, 3: error.message, 4: cause}
    return {key: value for key, value in fields.items() if value is not None}


def decodeApiError(body: bytes | memoryview) -> ApiError:
    """
    Decode the body of a response that is not L{OK}: a map, or just a text.

    @raise DecodeError: It is none, or it is out of bounds.
    """
    reader = cbor.Reader(body)
    error = _readError(reader, MAX_CAUSES)
    reader.expectEnd()
    return error


def _readError(reader: cbor.Reader, depth: int) -> ApiError:
    if depth < 0:
        raise DecodeError("an error has too many causes")
    if reader.major == cbor.TEXT:
        return ApiError(message=reader.readText(MAX_TEXT))
    fields = readFields(
        reader,
        {
            1: lambda reader: reader.readText(MAX_PATH),
            2: cbor.Reader.readUint,
            3: lambda reader: reader.readText(MAX_TEXT),
            4: lambda reader: _readError(reader, depth - 1),
        },
    )
    method = fields.get(2)
    return ApiError(fields.get(1), method if method in METHODS else None, fields.get(3), fields.get(4))
