"""
Which events are logged: from which level on, for all layers or for each.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from attrs import frozen
from twisted.logger import LogLevel

from ockam_twisted.errors import ConfigurationError
from ockam_twisted.ops.records import OTHERS, layerOf, levelOf

#: The levels, from the one that logs most.
LEVELS = ("debug", "info", "warn", "error", "critical")

#: The layers that log.  A test compares them with the source.
LAYERS = (
    "assembly",
    "attestation",
    "authority",
    "calendar",
    "channels",
    "clocks",
    "control",
    "draining",
    "endpoints",
    "node",
    "offers",
    "ops",
    "parts",
    "portals",
    "processes",
    "reception",
    "relays",
    "routing",
    "services",
    "sessions",
    "tap",
    "transports",
    "web",
    OTHERS,
)

#: How lines look; C{auto} is text on a terminal, and JSON elsewhere.
FORMATS = ("auto", "text", "json")

_RANKS = {LogLevel.lookupByName(name): rank for rank, name in enumerate(LEVELS)}


def _nearest(word: str, words: tuple[str, ...]) -> str:
    close = get_close_matches(word.lower(), words, 1)
    return f": did you mean {close[0]!r}?" if close else ""


def _level(word: str, name: str) -> str:
    if word not in LEVELS:
        nearest = _nearest(word, LEVELS)
        raise ConfigurationError(f"{name}: {word[:40]!a} is no level{nearest or ': ' + ', '.join(LEVELS)}")
    return word


@frozen
class Levels:
    """
    From which level on events are logged.

    @ivar default: Of layers that have none of their own.
    @ivar layers: Those that have.
    """

    default: str = "info"
    layers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str, name: str = "--log-level", default: str = "info") -> Levels:
        """
        Read C{warn}, C{portals=debug}, or several, joined by commas.

        @param name: What the text is called in errors.
        @param default: What is meant where nothing is said.
        @raise ConfigurationError: There is no such level or layer.
        """
        layers: dict[str, str] = {}
        for part in text.split(","):
            layer, isLayer, level = (each.strip() for each in part.partition("="))
            if not isLayer:
                default = _level(layer, name)
            elif layer not in LAYERS:
                nearest = _nearest(layer, LAYERS)
                raise ConfigurationError(f"{name}: {layer[:40]!a} is no layer{nearest or ': ' + ', '.join(LAYERS)}")
            else:
                layers[layer] = _level(level, name)
        return cls(default, tuple(layers.items()))

    def of(self, layer: str) -> str:
        """
        The level of a layer.
        """
        return dict(self.layers).get(layer, self.default)

    @property
    def least(self) -> str:
        """
        The lowest of all.
        """
        return min((self.default, *(level for _, level in self.layers)), key=LEVELS.index)

    def filtered(self, observer: Any) -> Any:
        """
        An observer that passes on what is to be logged.
        """
        ranks = {layer: LEVELS.index(level) for layer, level in self.layers}
        default = LEVELS.index(self.default)
        least = LEVELS.index(self.least)

        def observe(event: Any) -> None:
            rank = _RANKS.get(levelOf(event), 1)
            if rank >= least and rank >= (ranks.get(layerOf(event), default) if ranks else default):
                observer(event)

        return observe
