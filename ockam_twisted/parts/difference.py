"""
What is different between two configurations of one node.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from ockam_twisted.config import NodeConfig
from ockam_twisted.errors import ConfigurationError

LISTENER, INLET, OUTLET, REGISTRATION = "listener", "inlet", "outlet", "relay"

#: What a part is told apart by: its kind, and its name among these.
Key = tuple[str, str]

#: What holds for the whole node, and what it is called.
CHANGEABLE = {
    "trust": "trust",
    "relayService": "relay service",
    "maxFrame": "frame size",
    "authorities": "authorities",
    "authorityTicket": "ticket of the authority",
    "authorityService": "members of the authority",
    "tickets": "tickets",
    "allowEcho": "echo",
    "credentialLifetime": "lifetime of credentials",
    "drainTimeout": "drain timeout",
    "resumeTimeout": "resume timeout",
    "rendezvous": "rendezvous",
}

#: The same of what a node keeps for as long as it runs.
FIXED = {"command": "command", "state": "state", "uppercase": "uppercase", "hop": "hop", "http": "http", "log": "log"}


def _named(config: NodeConfig) -> Iterator[tuple[Key, Any]]:
    for listener in config.listeners:
        yield (LISTENER, listener), listener
    for inlet in config.inlets:
        yield (INLET, inlet.name or inlet.listen or f"udp {inlet.udpListen}"), inlet
    for outlet in config.outlets:
        yield (OUTLET, outlet.address), outlet
    for each in config.registrations:
        yield (REGISTRATION, f"{each.label} as {each.name}" if each.name else each.label), each


def keyed(config: NodeConfig) -> dict[Key, Any]:
    """
    The configurations of all parts, each by what it is told apart by.  Of
    those that are called the same all but the first have a number.
    """
    parts: dict[Key, Any] = {}
    for (kind, name), each in _named(config):
        key, number = (kind, name), 1
        while key in parts:
            number += 1
            key = (kind, f"{name} ({number})")
        parts[key] = each
    return parts


def shown(key: Key) -> str:
    """
    A part, for people.
    """
    return " ".join(key)


@frozen
class Difference:
    """
    See the module.

    @ivar added: What is new, by its key.
    @ivar removed: What is not there any more.
    @ivar changed: What is as it was but for details, with the new ones.
    @ivar kept: What is as it was.
    @ivar settings: What of the whole node is other than it was, for people.
    """

    added: dict[Key, Any]
    removed: tuple[Key, ...]
    changed: dict[Key, Any]
    kept: tuple[Key, ...]
    settings: tuple[str, ...]

    @property
    def isNothing(self) -> bool:
        """
        Are both the same?
        """
        return not (self.added or self.removed or self.changed or self.settings)

    def asJSON(self) -> dict[str, list[str]]:
        """
        What becomes of each part, as what JSON can hold.
        """
        return {
            "added": [shown(key) for key in self.added],
            "removed": [shown(key) for key in self.removed],
            "changed": [*(shown(key) for key in self.changed), *self.settings],
            "kept": [shown(key) for key in self.kept],
        }


def difference(old: NodeConfig, new: NodeConfig) -> Difference:
    """
    What has to be done for a node to become another one.

    @raise ConfigurationError: It cannot become that while it runs.
    """
    _checkFixed(old, new)
    before, after = keyed(old), keyed(new)
    both = [key for key in after if key in before]
    return Difference(
        {key: each for key, each in after.items() if key not in before},
        tuple(key for key in before if key not in after),
        {key: after[key] for key in both if after[key] != before[key]},
        tuple(key for key in both if after[key] == before[key]),
        tuple(text for name, text in CHANGEABLE.items() if getattr(old, name) != getattr(new, name)),
    )


def _checkFixed(old: NodeConfig, new: NodeConfig) -> None:
    fixed = [text for name, text in FIXED.items() if getattr(old, name) != getattr(new, name)]
    for name, text in (("relayService", "whether it is a relay"), ("authorityService", "whether it is an authority")):
        if (getattr(old, name) is None) != (getattr(new, name) is None):
            fixed.append(text)
    if old.relayService is not None and new.relayService is not None:
        if old.relayService.processes != new.relayService.processes:
            fixed.append("processes")
    if fixed:
        raise ConfigurationError(
            f"nothing was changed, as this needs a restart of the node: another value for {', '.join(fixed)}"
        )
