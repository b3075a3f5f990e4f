"""
Bluetooth controllers that are programs, within reach of each other: one for
each port of localhost that is given, where its host connects.

C{python tests/scenarios/bluetooth.py PORT...}
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from bumble.controller import Controller
from bumble.link import LocalLink
from bumble.transport import open_transport

#: This program.
CONTROLLERS = __file__


async def serve(ports: list[str]) -> None:
    """
    Make them, and wait.
    """
    link = LocalLink()
    controllers: list[Any] = []
    for index, port in enumerate(ports):
        transport: Any = await open_transport(f"tcp-server:127.0.0.1:{port}")
        controllers.append(
            (transport, Controller(f"C{index}", host_source=transport.source, host_sink=transport.sink, link=link))
        )
    print("Controllers: there", flush=True)
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1:]))
