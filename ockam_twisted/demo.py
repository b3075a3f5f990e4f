"""
The demo: everything on one machine.
"""

from __future__ import annotations

import os
import random
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path

from ockam_twisted.errors import OckamError, TimedOut

#: Seconds each part of the demo has to come up.
_PATIENCE = 30.0

#: Seconds each part has to end by itself.
_GRACE = 5.0

_PAGE = """<!doctype html><meta charset="utf-8"><title>ockam_twisted</title>
<body style="font-family: sans-serif; max-width: 40em; margin: 4em auto">
<h1>It works</h1>
<p>This page is served by a private web server on 127.0.0.1:{web}. Your browser reached it at 127.0.0.1:{inlet}:
from the inlet through the relay to the outlet, end-to-end encrypted, and the outlet has no open port.</p>
"""


def _freePorts(count: int) -> list[int]:
    # Not those that connections are made from, of which one might be taken
    # before it is listened at.
    ports: list[int] = []
    with ExitStack() as probes:
        while len(ports) < count:
            port = random.randrange(15_000, 32_000)
            with suppress(OSError):
                probes.enter_context(socket.socket()).bind(("127.0.0.1", port))
                ports.append(port)
    return ports


@contextmanager
def _running(command: list[str], show: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """
    A process, and the end of it.
    """
    print(f"$ {show}", flush=True)
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def _whole() -> Iterator[None]:
    """
    What is begun in here is kept, for its end, before a signal interrupts: for
    the main thread.

    @raise KeyboardInterrupt: At the end, if there was a signal.
    """
    held: list[int] = []

    def hold(number: int, frame: object) -> None:
        held.append(number)

    # Not a mask of signals: what is started would inherit it.
    before = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)
    if held:
        raise KeyboardInterrupt


def _waitFor(what: str, process: subprocess.Popen[bytes], log: Path, label: str) -> str:
    """
    Wait for a line C{label: value} of a process.

    @return: The value.
    """
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        for line in log.read_text("utf-8", "replace").splitlines():
            if line.startswith(f"{label}: "):
                return line.partition(": ")[2]
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise TimedOut(f"{what} did not come up:\n{log.read_text('utf-8', 'replace')[-2000:]}")


def _open(port: int) -> bytes:
    """
    The page behind a port of this machine.  The web server may still be
    starting.
    """
    # Proxies are for other machines.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with opener.open(f"http://127.0.0.1:{port}/", timeout=15) as answer:
                return bytes(answer.read())
        except (OSError, HTTPException) as error:
            if time.monotonic() > deadline:
                raise TimedOut(f"the page does not come through the inlet: {error}") from None
        time.sleep(0.2)


def runDemo(check: bool) -> int:
    """
    Run everything on this machine until Ctrl-C.

    @param check: Open the page once, then end.
    @return: The exit status.
    @raise OckamError: Something did not come up, or has ended by itself.
    """

    def interrupted(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupted)
    atInterrupt = signal.getsignal(signal.SIGINT)
    with ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGTERM, before)
        stack.callback(signal.signal, signal.SIGINT, atInterrupt)
        try:
            return _runParts(stack, check)
        finally:
            _ignoreSignals()


def _ignoreSignals() -> None:
    """
    What was started is ended, however often Ctrl-C is pressed.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _runParts(stack: ExitStack, check: bool) -> int:
    with _whole():
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ockam-twisted-demo-")))
    web, relay, inlet = _freePorts(3)
    (folder / "page").mkdir()
    (folder / "page" / "index.html").write_text(_PAGE.format(web=web, inlet=inlet))
    parts: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}

    def start(name: str, *arguments: str) -> None:
        log = folder / f"{name}.log"
        if name == "web":
            real, show = [sys.executable, *arguments], ["python", *arguments]
        else:
            real = [sys.executable, "-m", "twisted", *arguments, "--state-dir", str(folder / name)]
            show = ["twist", *arguments]
        with _whole():
            parts[name] = stack.enter_context(_running(real, shlex.join(show), log)), log

    def waitFor(name: str, label: str) -> str:
        return _waitFor(f"the {name}", *parts[name], label)

    print("# a private web page", flush=True)
    start("web", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(folder / "page"), str(web))
    print("\n# a relay: it sees only ciphertext", flush=True)
    start("relay", "ockam-relay", "--listen", f"tcp:{relay}:interface=127.0.0.1")
    waitFor("relay", "Identifier")
    print("\n# beside the private page: an outlet, without an open port", flush=True)
    start("outlet", "ockam-outlet", "--target", f"127.0.0.1:{web}", "--relay", f"127.0.0.1:{relay}")
    address, ticket = waitFor("outlet", "Forwarding address"), waitFor("outlet", "Ticket")
    print(f"Forwarding address: {address}\nTicket: {ticket}", flush=True)
    print("\n# beside you: an inlet, paired by that ticket", flush=True)
    start("inlet", "ockam-inlet", "--listen", f"tcp:{inlet}:interface=127.0.0.1", "--ticket", ticket)
    waitFor("inlet", "Identifier")
    if b"It works" not in _open(inlet):
        raise OckamError("the page that came through the inlet is not the one of the demo")
    print(f"\nThe page came through. Open http://127.0.0.1:{inlet}/ to see it.", flush=True)
    return 0 if check else _watch(parts)


def _watch(parts: dict[str, tuple[subprocess.Popen[bytes], Path]]) -> int:
    try:
        print("Press Ctrl-C to end the demo.", flush=True)
        while True:
            for name, (process, log) in parts.items():
                if process.poll() is not None:
                    raise OckamError(f"the {name} has ended by itself:\n{log.read_text('utf-8', 'replace')[-2000:]}")
            time.sleep(0.5)
    except KeyboardInterrupt:
        _ignoreSignals()
        print("\nEnding.", flush=True)
        return 0
