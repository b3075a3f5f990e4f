"""
Bluetooth controllers for tests, within reach of each other: real HCI over
sockets of loopback, in a loop of their own.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from bumble.controller import Controller
from bumble.link import LocalLink
from bumble.transport.tcp_server import open_tcp_server_transport_with_socket


async def makeControllers(count: int) -> list[str]:
    """
    @return: Their names for C{bumble}.
    """
    link = LocalLink()
    names = []
    for index in range(count):
        # With this protocol by name asyncio sends small packets at once.
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        server.bind(("127.0.0.1", 0))
        transport: Any = await open_tcp_server_transport_with_socket(server)
        Controller(f"C{index}", host_source=transport.source, host_sink=transport.sink, link=link)
        names.append(f"tcp-client:127.0.0.1:{server.getsockname()[1]}")
    return names


class Socket:
    """
    Where a controller is plugged in: what is said goes through, unless it is
    one that says nothing.

    @ivar name: For C{bumble}.
    @ivar isMute: Does it say nothing, from the next connection on?
    @ivar tries: How often it was connected to.
    @ivar open: How many of these connections nobody has closed.
    """

    def __init__(self, controller: str) -> None:
        self._controller = controller.split(":")[1:]
        self.isMute = False
        self.tries = self.open = 0

    async def plug(self) -> None:
        """
        Be there.
        """
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.name = f"tcp-client:127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tries += 1
        self.open += 1
        host, port = self._controller
        there: Any = None
        back: Any = None
        if not self.isMute:
            behind, there = await asyncio.open_connection(host, int(port))
            back = asyncio.ensure_future(self._pass(behind, writer))
        await self._pass(reader, there)
        self.open -= 1
        writer.close()
        if back is not None:
            there.close()
            await back

    async def _pass(self, reader: asyncio.StreamReader, writer: Any) -> None:
        while data := await reader.read(65536):
            if writer is not None:
                writer.write(data)


def inLoop(count: int, doing: Callable[..., Coroutine[Any, Any, None]]) -> None:
    """
    Do something with so many controllers, within a minute.
    """

    async def main() -> None:
        await doing(*await makeControllers(count))

    asyncio.run(asyncio.wait_for(main(), 60))
