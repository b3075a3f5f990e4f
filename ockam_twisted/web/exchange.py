"""
Requests and responses of one connection of HTTP/1.1, with a header of ours in
each request.  Pure, over C{h11}.

A request is read strictly, and what goes to the target is written anew from
what was read: target and client cannot have different opinions of where it
ends.  Responses are passed on as they are, and read only to know when the next
request may go.
"""

from __future__ import annotations

from collections.abc import Iterable

import h11

from ockam_twisted.errors import RemoteProtocolError

#: The longest head of a request or response, bytes.
MAX_HEAD = 64 * 1024

#: What may switch away from HTTP.  Whoever speaks HTTP/2 afterwards (C{h2c})
#: could write our header by itself.
SWITCHES = (b"websocket",)

#: Not exported by every version of C{h11} for type checkers.
_MIGHT_SWITCH = vars(h11)["MIGHT_SWITCH_PROTOCOL"]

_Headers = list[tuple[bytes, bytes]]


class BadRequest(RemoteProtocolError):
    """
    A client does not speak HTTP as it should.
    """


class BadResponse(RemoteProtocolError):
    """
    A target does not speak HTTP as it should.
    """


def plain(name: bytes) -> bytes:
    """
    A header's name as the least careful of those who read it take it: many
    programs make one of dashes and underscores.
    """
    return name.lower().replace(b"_", b"-")


def _inShort(error: Exception) -> str:
    """
    Without what it quotes: that is somebody else's words, and as many lines.
    """
    return str(error).partition(":")[0]


def _tokens(value: bytes) -> list[bytes]:
    return [token for each in value.split(b",") if (token := each.strip(b" \t"))]


class Exchange:
    """
    See the module.

    @ivar isSwitched: It is HTTP no more: bytes are passed on as they are.
    @ivar isOver: No more requests are passed on.
    @ivar isBegun: Has the target begun to answer what was asked?
    """

    def __init__(self, name: str, value: str) -> None:
        """
        @param name: Of the header.
        @param value: Who is at the other end; empty: nobody knows, and nobody
            else says so either.
        """
        self._name = name.encode("ascii")
        self._value = value.encode("ascii")
        self._plain = plain(self._name)
        self._requests = h11.Connection(h11.SERVER, MAX_HEAD)
        self._responses = h11.Connection(h11.CLIENT, MAX_HEAD)
        self.isSwitched = False
        self.isOver = False
        self.isBegun = False

    @property
    def isHeld(self) -> bool:
        """
        Does a request wait for the response to the one before it?
        """
        return not self.isSwitched and self._requests.their_state in (h11.DONE, _MIGHT_SWITCH)

    @property
    def isWaiting(self) -> bool:
        """
        Has the client said what is not passed on yet?
        """
        return self.isHeld and bool(self._requests.trailing_data[0])

    # ------------------------------------------------------------ requests

    def fromClient(self, data: bytes) -> bytes:
        """
        The client has sent something.

        @return: What goes to the target.
        @raise BadRequest: It is no request that can be passed on.
        """
        if self.isSwitched:
            return data
        if data and not self.isOver:
            self._requests.receive_data(data)
        return self._advance()

    def _advance(self) -> bytes:
        out: list[bytes] = []
        try:
            while not self.isOver:
                event = self._requests.next_event()
                if isinstance(event, h11.Request):
                    out.append(self._request(event))
                elif isinstance(event, h11.Data):
                    out.append(self._responses.send(h11.Data(data=bytes(event.data))) or b"")
                elif isinstance(event, h11.EndOfMessage):
                    kept = [pair for pair in event.headers.raw_items() if plain(pair[0]) != self._plain]
                    out.append(self._responses.send(h11.EndOfMessage(headers=kept)) or b"")
                    self._goOn()
                else:
                    break
        except h11.ProtocolError as error:
            raise BadRequest(_inShort(error)) from None
        return b"".join(out)

    def _request(self, request: h11.Request) -> bytes:
        """
        The head of a request for the target.
        """
        if request.http_version not in (b"1.0", b"1.1"):
            raise BadRequest("another version of HTTP")
        if request.method == b"CONNECT":
            raise BadRequest("in a tunnel nobody can say who is at the other end")
        isOld = request.http_version == b"1.0"
        lengths = sum(name == b"content-length" for name, _ in request.headers)
        if any(name == b"transfer-encoding" for name, _ in request.headers) and (lengths or isOld):
            raise BadRequest("a request with two lengths")
        headers = [*self._kept(request.headers.raw_items(), isOld)]
        if self._value:
            headers.append((self._name, self._value))
        sent = self._responses.send(h11.Request(method=request.method, target=request.target, headers=headers)) or b""
        if isOld:
            # It is answered in words that its sender knows.
            line, end, rest = sent.partition(b"\r\n")
            sent = line[:-3] + b"1.0" + end + rest
        return sent

    def _kept(self, headers: Iterable[tuple[bytes, bytes]], isOld: bool) -> _Headers:
        """
        The headers of a client that the target gets.
        """
        given = [(name, value) for name, value in headers if plain(name) != self._plain]
        switches = any(
            name.lower() == b"upgrade" and [each.lower() for each in _tokens(value)] in ([each] for each in SWITCHES)
            for name, value in given
        )
        # Who is named in Connection is removed by the next one on the way.
        dropped = {self._plain} if switches and not isOld else {self._plain, b"upgrade", b"http2-settings"}
        kept: _Headers = []
        for name, value in given:
            low = plain(name)
            if low in dropped or (isOld and low in (b"connection", b"keep-alive", b"proxy-connection")):
                continue
            if low in (b"connection", b"proxy-connection"):
                value = b", ".join(each for each in _tokens(value) if plain(each) not in dropped)
                if not value:
                    continue
            kept.append((name, value))
        return kept

    # ----------------------------------------------------------- responses

    def fromTarget(self, data: bytes) -> bytes:
        """
        The target has sent something, which goes to the client as it is.

        @return: What goes to the target now.
        @raise BadRequest: A request that has waited cannot be passed on.
        @raise BadResponse: The target does not speak HTTP.
        """
        if self.isSwitched:
            return b""
        self.isBegun = True
        if self._responses.our_state is h11.IDLE:
            # Nobody has asked: it says why it closes the connection.
            self.isOver = True
            return b""
        try:
            self._responses.receive_data(data)
            while not self.isSwitched:
                event = self._responses.next_event()
                if isinstance(event, h11.InformationalResponse):
                    self._inform(event)
                elif isinstance(event, h11.Response):
                    self._mirror(event)
                elif isinstance(event, h11.EndOfMessage):
                    self._requests.send(h11.EndOfMessage())
                    self.isBegun = False
                    self._goOn()
                elif not isinstance(event, h11.Data):
                    break
        except h11.ProtocolError as error:
            raise BadResponse(_inShort(error)) from None
        if self.isSwitched:
            # What has come too early was not for HTTP.
            return bytes(self._requests.trailing_data[0])
        return self._advance()

    def _inform(self, event: h11.InformationalResponse) -> None:
        self._requests.send(event)
        if event.status_code == 101:
            self.isSwitched = True

    def _mirror(self, event: h11.Response) -> None:
        """
        Answer the request, so that the next one is read: the length of the
        answer does not matter for that.
        """
        self._requests.send(h11.Response(status_code=event.status_code, headers=[("Content-Length", "0")]))

    def _goOn(self) -> None:
        """
        If request and response are both over, there may be another one.
        """
        states = (self._responses.our_state, self._responses.their_state)
        if states == (h11.DONE, h11.DONE) and self._requests.their_state is h11.DONE:
            self._responses.start_next_cycle()
            self._requests.start_next_cycle()
        elif set(states) <= {h11.DONE, h11.MUST_CLOSE, h11.CLOSED}:
            self.isOver = True
