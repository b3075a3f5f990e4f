"""
Tickets, as options give them: themselves, in files, or on standard input.
"""

from __future__ import annotations

import os
import signal
import sys

from twisted.python import usage

from ockam_twisted.configuration.secrets import resolve

_MAX_TICKET = 16 * 1024


def readTicket(text: str, option: str) -> str:
    """
    The ticket of an option.

    @param text: The ticket itself, C{@FILE}, C{credential:NAME} or C{-}.
    @param option: What the option is called, for errors.
    @raise usage.UsageError: There is none.
    @raise ockam_twisted.errors.ConfigurationError: There is no such credential.
    @raise SystemExit: Ctrl-C was typed where it was asked for.
    """
    if text.startswith("credential:"):
        return resolve(text, option, os.environ)
    if text == "-":
        given, where = _typed(), "standard input"
    elif text.startswith("@"):
        where = text[1:]
        try:
            with open(where, encoding="ascii", errors="replace") as file:
                given = file.read(_MAX_TICKET)
        except OSError as error:
            raise usage.UsageError(f"{option}: cannot read {where}: {error.strerror}") from None
    else:
        return text
    if not given.strip():
        raise usage.UsageError(f"{option}: there is no ticket in {where}: it is empty")
    return given.strip()


def _typed() -> str:
    """
    What standard input has: of a terminal one line, which is asked for.
    """
    try:
        if not sys.stdin.isatty():
            return sys.stdin.read(_MAX_TICKET)
        # Standard output may be kept.
        print("Ticket: ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline(_MAX_TICKET)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        raise SystemExit(128 + signal.SIGINT) from None
