"""
Whether settings go together: what no single one of them can tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ockam_twisted.config import listenEndpoint
from ockam_twisted.configuration.forms import nearest, shown
from ockam_twisted.configuration.parts import Names
from ockam_twisted.errors import ConfigurationError

if TYPE_CHECKING:
    from ockam_twisted.configuration.settings import NodeSettings


class Disagreement(ConfigurationError):
    """
    Settings that do not go together.

    @ivar each: All of them: a path, and what is wrong there.
    """

    def __init__(self, each: Iterable[tuple[str, str]]) -> None:
        self.each = list(each)
        super().__init__(self.each[0][1])


def disagreements(settings: NodeSettings, names: Names) -> Iterator[tuple[str, str]]:
    """
    Find what does not go together in the settings of a whole node.

    @param names: What settings are called where they were written.
    @return: Paths, each with what is wrong there.
    """
    yield from _unique(settings.authorities, "authorities", names)
    yield from _unique(settings.inlets, "inlets", names)
    yield from _authorities(settings, names)
    yield from _places(settings, names)
    yield from _registrations(settings, names)


def _unique(each: Iterable[Any], key: str, names: Names) -> Iterator[tuple[str, str]]:
    """
    Parts that are told apart by their names.
    """
    met: dict[str, int] = {}
    for n, one in enumerate(each):
        first = met.setdefault(one.name, n)
        if first != n:
            path = f"{key}[{n}].name"
            reason = f"is what {key}[{first}] is called, too" if one.name else f"is missing, as in {key}[{first}]"
            yield path, f"{names(path)}: {shown(one.name)} {reason}" if one.name else f"{names(path)} {reason}"


def _authorities(settings: NodeSettings, names: Names) -> Iterator[tuple[str, str]]:
    known = [each.name for each in settings.authorities if each.name]
    parts: dict[str, tuple[Any, ...]] = {"outlets": settings.outlets, "inlets": settings.inlets}
    for key, its in parts.items():
        for n, part in enumerate(its):
            if part.authority and part.authority not in known:
                path = f"{key}[{n}].authority"
                there = f"; there {'is' if len(known) == 1 else 'are'} {', '.join(known)}" if known else ""
                hint = nearest(part.authority, known) or there
                yield path, f"{names(path)}: no authority is called {shown(part.authority)}{hint}"


def _places(settings: NodeSettings, names: Names) -> Iterator[tuple[str, str]]:
    """
    Two cannot listen at one place.
    """
    several = len(settings.listen) > 1
    places = [(f"listen[{n}]" if several else "listen", text) for n, text in enumerate(settings.listen)]
    places += [(f"inlets[{n}].listen", each.listen) for n, each in enumerate(settings.inlets) if each.listen]
    met: dict[str, str] = {}
    for path, text in places:
        endpoint = listenEndpoint(text, names(path))
        # Port 0 is another one each time.
        if not re.match(r"(tcp|tcp6|tcp4|ssl|tls):(0|port=0)(:|$)", endpoint):
            first = met.setdefault(endpoint, path)
            if first != path:
                yield path, f"{names(path)}: {shown(text)} is where {names(first)} listens"


def _registrations(settings: NodeSettings, names: Names) -> Iterator[tuple[str, str]]:
    """
    A name can be registered once at a relay.
    """
    met: dict[tuple[str, str, str], int] = {}
    for n, each in enumerate(settings.registrations):
        first = met.setdefault((each.relay, each.ticket, each.name), n)
        if first != n:
            path = f"registrations[{n}]"
            yield path, f"{path} is the same as registrations[{first}]"


def unreached(settings: NodeSettings, names: Names) -> Iterator[tuple[str, str]]:
    """
    Find what nobody can reach; a node without anything is of no use, either.

    @return: As of L{disagreements}.
    """
    listens = bool(settings.listen)
    if settings.outlets and not listens and not settings.registrations:
        relay, listen = names("registrations.relay"), names("listen")
        yield (
            "outlets",
            f"nobody can reach this outlet: give {relay} HOST:PORT (no open port), or {listen} ENDPOINT",
        )
    services = (("relay", settings.relay, "relay"), ("authority-service", settings.authorityService, "authority"))
    for path, service, what in services:
        if service is not None and not listens:
            yield path, f"nobody can reach this {what}: give {names('listen')}, for example tcp:4000"
    if not (settings.outlets or settings.inlets or listens or settings.registrations) and all(
        service is None for _, service, _ in services
    ):
        yield "", "there is nothing to do for this node: give it outlets, inlets, or a relay"
