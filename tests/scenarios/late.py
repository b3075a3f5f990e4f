"""
A way that is slow to begin: C{python late.py PORT SECONDS} forwards
connections to a port of this machine, and holds back the first bytes from
whoever connects.
"""

from __future__ import annotations

import asyncio
import sys

_READ = 256 * 1024


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait: float = 0.0) -> None:
    try:
        data = await reader.read(_READ)
        await asyncio.sleep(wait)
        while data:
            writer.write(data)
            await writer.drain()
            data = await reader.read(_READ)
    except OSError:
        pass
    finally:
        writer.close()


async def main(port: int, wait: float) -> None:
    """
    Forward until the process is ended.
    """
    running = set()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, here = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        tasks = {asyncio.create_task(_copy(reader, here, wait)), asyncio.create_task(_copy(there, writer))}
        running.update(tasks)
        await asyncio.wait(tasks)
        running.difference_update(tasks)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    print(f"Port: {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
