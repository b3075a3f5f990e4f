"""
Showing the same thing again and again, on a terminal or for whoever reads.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

#: Another screen, and no cursor; both back.
_BEGIN, _END = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"

#: To the corner; to the end of the line, and of the screen, empty.
_HOME, _REST_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"


def fitted(lines: list[str], columns: int, rows: int) -> list[str]:
    """
    As much of the lines as there is room for.
    """
    if len(lines) > rows:
        lines = [*lines[: rows - 1], f"... {len(lines) - rows + 1} more lines"]
    return [line if len(line) <= columns else f"{line[: columns - 1]}>" for line in lines]


def picture(lines: list[str], columns: int, rows: int) -> str:
    """
    What a terminal needs to show the lines in place of what it shows.
    """
    shown = [f"{line}{_REST_OF_LINE}" for line in fitted(lines, columns, rows)]
    return _HOME + "\r\n".join(shown) + _REST


def watch(look: Callable[[], list[str]], interval: float = 1.0, spaced: bool = True) -> None:
    """
    Show something anew in each interval: on a terminal in the same place,
    until somebody types C{q} or Ctrl-C; for anything else one block after the
    other.

    @param look: What there is to be seen.
    @param interval: Seconds.
    @param spaced: Put an empty line between two blocks?
    """
    try:
        if sys.stdout.isatty():
            with _screen(sys.stdout) as (keyboard, woken):
                _draw(look, interval, keyboard, woken)
            return
        due = time.monotonic()
        while True:
            print(*look(), *[""] * spaced, sep="\n", flush=True)
            due = max(due + interval, time.monotonic())
            time.sleep(due - time.monotonic())
    except KeyboardInterrupt:
        return


def _draw(look: Callable[[], list[str]], interval: float, keyboard: int | None, woken: int) -> None:
    while True:
        lines = look()
        due = time.monotonic() + interval
        while (left := due - time.monotonic()) > 0:
            sys.stdout.write(picture(lines, *os.get_terminal_size(sys.stdout.fileno())))
            sys.stdout.flush()
            ready, _, _ = select.select([woken, *(() if keyboard is None else (keyboard,))], [], [], left)
            if woken in ready:
                # The window has another size.
                os.read(woken, 1000)
            if keyboard in ready and keyboard is not None:
                typed = os.read(keyboard, 1000)
                if b"q" in typed.lower():
                    return
                if not typed:
                    keyboard = None


@contextmanager
def _screen(out: TextIO) -> Iterator[tuple[int | None, int]]:
    """
    A terminal of our own, for a while.

    @return: What is typed on, if anything, and what can be read from when a
        signal has come.
    """
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    with ExitStack() as after:
        after.callback(os.close, woken)
        after.callback(os.close, wake)
        after.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(wake, warn_on_full_buffer=False))
        for number, action in ((signal.SIGWINCH, _nothing), (signal.SIGTERM, _ended)):
            after.callback(signal.signal, number, signal.signal(number, action))
        keyboard = None
        if sys.stdin is not None and sys.stdin.isatty():
            keyboard = sys.stdin.fileno()
            before = termios.tcgetattr(keyboard)
            after.callback(termios.tcsetattr, keyboard, termios.TCSADRAIN, before)
            tty.setcbreak(keyboard)
        out.write(_BEGIN)
        after.callback(out.flush)
        after.callback(out.write, _END)
        yield keyboard, woken


def _nothing(number: int, frame: Any) -> None:
    """
    Whoever waits is woken by the signal itself.
    """


def _ended(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)
