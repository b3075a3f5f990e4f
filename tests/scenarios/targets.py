"""
Private services, each run as a process of its own: C{python targets.py echo}
or C{python targets.py files FOLDER}.  The first line says C{Port: NUMBER}.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

_READ = 256 * 1024


class Files(SimpleHTTPRequestHandler):
    """
    Serves a folder, and answers each PUT with the SHA-256 of what was sent.
    Says with each answer how many there were on this connection.
    """

    protocol_version = "HTTP/1.1"
    answers = 0

    def log_message(self, format: str, *args: object) -> None:
        """
        Nothing is logged.
        """

    def end_headers(self) -> None:
        """
        Count the answers.
        """
        self.answers += 1
        self.send_header("X-Answer", str(self.answers))
        super().end_headers()

    def do_PUT(self) -> None:
        """
        Read it all, keep nothing.
        """
        left = int(self.headers["Content-Length"])
        digest = hashlib.sha256()
        while left:
            data = self.rfile.read(min(left, _READ))
            if not data:
                return
            digest.update(data)
            left -= len(data)
        body = digest.hexdigest().encode("ascii")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serveFiles(folder: str) -> None:
    """
    Serve a folder for ever.
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=folder)) as server:
        print(f"Port: {server.server_address[1]}", flush=True)
        server.serve_forever()


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_READ):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def echo() -> None:
    """
    Return what comes, for ever.
    """
    server = await asyncio.start_server(_echo, "127.0.0.1", 0, backlog=1024)
    print(f"Port: {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "files":
        serveFiles(sys.argv[2])
    else:
        asyncio.run(echo())
