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


def inLoop(count: int, doing: Callable[..., Coroutine[Any, Any, None]]) -> None:
    """
    Do something with so many controllers, within a minute.
    """

    async def main() -> None:
        await doing(*await makeControllers(count))

    asyncio.run(asyncio.wait_for(main(), 60))
