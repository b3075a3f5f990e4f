"""
An HTTP/3 server, and a client: C{h3.py server PORT FOLDER} and
C{h3.py client PORT SIZE}, which says C{Got: ...}.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
import sys
from typing import Any

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration


def content(size: int) -> bytes:
    """
    So many bytes that are different everywhere.
    """
    return hashlib.shake_128(b"h3").digest(size)


class Server(QuicConnectionProtocol):
    """
    Answers C{/SIZE} with so many bytes.
    """

    http: Any = None

    def quic_event_received(self, event: Any) -> None:
        if self.http is None:
            self.http = H3Connection(self._quic)
        for each in self.http.handle_event(event):
            if isinstance(each, HeadersReceived):
                path = dict(each.headers)[b":path"].decode()
                self.http.send_headers(each.stream_id, [(b":status", b"200")])
                self.http.send_data(each.stream_id, content(int(path[1:])), end_stream=True)
                self.transmit()


class Client(QuicConnectionProtocol):
    """
    Asks once.
    """

    http: Any = None

    def ask(self, size: int) -> asyncio.Future[bytes]:
        self.http = H3Connection(self._quic)
        self.got = b""
        self.done = asyncio.get_running_loop().create_future()
        stream = self._quic.get_next_available_stream_id()
        headers = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", b"/%d" % size)]
        self.http.send_headers(stream, headers, end_stream=True)
        self.transmit()
        return self.done

    def quic_event_received(self, event: Any) -> None:
        if self.http is None:
            return
        for each in self.http.handle_event(event):
            if isinstance(each, DataReceived):
                self.got += each.data
                if each.stream_ended and not self.done.done():
                    self.done.set_result(self.got)


async def main(role: str, port: str, what: str) -> None:
    """
    Be one of them.
    """
    if role == "server":
        configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
        configuration.load_cert_chain(what, what)
        await serve("127.0.0.1", int(port), configuration=configuration, create_protocol=Server)
        print("Port:", port, flush=True)
        await asyncio.Event().wait()
    configuration = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE)
    async with connect("127.0.0.1", int(port), configuration=configuration, create_protocol=Client) as client:
        assert isinstance(client, Client)
        got = await asyncio.wait_for(client.ask(int(what)), 60)
        # In one write: half of it might be read.
        print(f"Got: {len(got)} {'right' if got == content(int(what)) else 'wrong'}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
