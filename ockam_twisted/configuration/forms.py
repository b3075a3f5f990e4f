"""
Forms: what a single setting may look like, wherever it is written.

A form reads what was written (text of an option; text, a number or a flag of
a file), says what is allowed in words, and describes itself for editors (JSON
Schema).  What it reads it gives back in the shape that
L{ockam_twisted.config} has.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from attrs import frozen

from ockam_twisted.config import dialEndpoint, duration, hostPort, httpEndpoint, listenEndpoint, udpPlace
from ockam_twisted.errors import ConfigurationError, OckamError
from ockam_twisted.ops.levels import FORMATS, Levels

#: How much of what was written an error shows.
_SHOWN = 40


def shown(value: object) -> str:
    """
    What was written, for an error: in quotes, printable, cut.
    """
    text = value if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    return ascii(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


def nearest(word: str, known: Iterable[str], mark: str = "") -> str:
    """
    @param mark: What stands in front of each of those that are known.
    @return: C{; did you mean ...?}, if one of those that are known is near.
    """
    found = difflib.get_close_matches(word[:_SHOWN].lower(), list(known), 1, 0.6)
    return f"; did you mean {mark}{found[0]}?" if found else ""


def asText(value: object, what: str, allowed: str) -> str:
    """
    What was written, where text is wanted: a number is text, too.

    @raise ConfigurationError: It is neither.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        kind = "a flag" if isinstance(value, bool) else "nothing" if value is None else "a list or a group"
        raise ConfigurationError(f"{what} is {allowed}, not {kind}")
    return str(value)


@frozen
class Form:
    """
    Text.

    @cvar jsonType: What editors call it.
    @ivar allowed: What it may be, in words: C{WHAT is ALLOWED}.
    @ivar example: One that is right.
    """

    jsonType: ClassVar[Any] = "string"

    allowed: str = "text"
    example: str = ""

    @property
    def schema(self) -> dict[str, Any]:
        """
        What editors are told.
        """
        kind = self.jsonType
        return {"type": list(kind) if isinstance(kind, tuple) else kind}

    def read(self, value: object, what: str) -> Any:
        """
        Read what was written.

        @param what: What it is called there, for the error.
        @raise ConfigurationError: It is none.
        """
        return asText(value, what, self.allowed)


@frozen
class Flag(Form):
    """
    Yes or no.
    """

    jsonType = "boolean"

    allowed: str = "true or false"
    example: str = "true"

    def read(self, value: object, what: str) -> bool:
        """
        See L{Form.read}.
        """
        if not isinstance(value, bool):
            raise ConfigurationError(f"{what} is true or false, not {shown(value)}")
        return value


@frozen
class Number(Form):
    """
    A number within bounds.
    """

    least: float = 0
    most: float = math.inf
    isWhole: bool = False

    @property
    def schema(self) -> dict[str, Any]:
        """
        See L{Form.schema}.
        """
        return {"type": "integer" if self.isWhole else "number", "minimum": self.least, "maximum": self.most}

    def read(self, value: object, what: str) -> float:
        """
        See L{Form.read}.
        """
        allowed = f"a {'whole ' if self.isWhole else ''}number from {self.least:.12g} to {self.most:.12g}"
        text = asText(value, what, allowed)
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not self.least <= number <= self.most or (self.isWhole and number != int(number)):
            raise ConfigurationError(f"{what} is {allowed}, not {shown(text)}")
        return int(number) if self.isWhole else number


@frozen
class Choice(Form):
    """
    One of a few words.
    """

    words: tuple[str, ...] = ()

    @property
    def schema(self) -> dict[str, Any]:
        """
        See L{Form.schema}.
        """
        return {"enum": list(self.words)}

    def read(self, value: object, what: str) -> str:
        """
        See L{Form.read}.
        """
        allowed = f"one of {', '.join(self.words)}"
        text = asText(value, what, allowed)
        if text not in self.words:
            raise ConfigurationError(f"{what} is {allowed}, not {shown(text)}{nearest(text, self.words)}")
        return text


@frozen
class Pattern(Form):
    """
    Text of certain characters.
    """

    pattern: str = ""

    @property
    def schema(self) -> dict[str, Any]:
        """
        See L{Form.schema}.
        """
        return {"type": "string", "pattern": f"^(?:{self.pattern})$"}

    def read(self, value: object, what: str) -> str:
        """
        See L{Form.read}.
        """
        text = asText(value, what, self.allowed)
        if not re.fullmatch(self.pattern, text):
            raise ConfigurationError(f"{what} is {self.allowed}, not {shown(text)}")
        return text


def _nothing(text: str, what: str) -> str:
    return text


@frozen
class Read(Form):
    """
    Something that has a reader of its own.

    @ivar reader: Called with the text and what it is called; raises
        L{OckamError}.
    """

    jsonType = ("string", "integer")

    reader: Callable[[str, str], Any] = _nothing

    def read(self, value: object, what: str) -> Any:
        """
        See L{Form.read}.
        """
        text = asText(value, what, self.allowed)
        try:
            return self.reader(text, what)
        except OckamError as error:
            reason = str(error)
            # Some name the option.
            named = re.match("--[a-z-]+", reason)
            if named is not None:
                reason = f"{what}{reason[named.end() :]}"
            raise ConfigurationError(reason if reason.startswith(what) else f"{what}: {reason}") from None


@frozen
class Checked(Read):
    """
    Text that a reader finds right; it stays as it was written.
    """

    def read(self, value: object, what: str) -> str:
        """
        See L{Form.read}.
        """
        super().read(value, what)
        return str(value)


def _identifier(text: str, what: str) -> None:
    from ockam_twisted.identity.identifiers import Identifier

    Identifier.parse(text)


def _policy(text: str, what: str) -> None:
    from ockam_twisted.policies.policy import Policy

    Policy.fromText(text)


def _way(text: str, what: str) -> None:
    from ockam_twisted.sessions.destination import readPinnedWay

    readPinnedWay(text)


def _relay(text: str, what: str) -> None:
    from ockam_twisted.places import checkRoad
    from ockam_twisted.routing.multiaddr import MultiAddr

    if text.startswith("/"):
        checkRoad(MultiAddr.fromText(text), what)
    else:
        dialEndpoint(text, what)


def _listener(text: str, what: str) -> None:
    from ockam_twisted.checks import checkListener

    checkListener(text)


def _relayName(text: str, what: str) -> None:
    from ockam_twisted.relays.names import checkRelayName

    checkRelayName(text)


def _vault(text: str, what: str) -> None:
    from ockam_twisted.vault.pkcs11 import TokenURI

    TokenURI.fromText(text)


def _header(text: str, what: str) -> None:
    low = text.lower()
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", low) or len(low) > 64:
        raise ConfigurationError(f"{shown(text)} is no name of a header, such as X-Ockam-Identifier")
    if low in _OF_HTTP:
        raise ConfigurationError(f"{shown(text)} is a header of HTTP's own: take another, such as X-Ockam-Identifier")


_OF_HTTP = frozenset(
    "connection content-length expect host http2-settings keep-alive proxy-connection te trailer transfer-encoding "
    "upgrade".split()
)
_PLACE = "PORT, HOST:PORT or an endpoint string"

#: The forms there are.
TEXT = Form()
LOG_LEVELS = Checked("a level, or LAYER=LEVEL, or several with commas", "warn,portals=debug", reader=Levels.parse)
LOG_FORMAT = Choice("a format of the log", "json", words=FORMATS)
FLAG = Flag()
DURATION = Read("a time: seconds, or 10m, 12h, 7d", "10m", reader=duration)
LISTEN = Checked(f"a place to listen: {_PLACE}", "5432", reader=listenEndpoint)
DIAL = Checked(f"a place to connect to: {_PLACE}", "127.0.0.1:5432", reader=dialEndpoint)
HTTP = Read(f"a place to listen: {_PLACE}", "8080", reader=httpEndpoint)
UDP_PLACE = Checked("PORT or HOST:PORT", "53", reader=udpPlace)
UDP_IDLE = Number("seconds", "60", 1, 86_400)
HOST_PORT = Read("HOST:PORT", "relay.example.com:4000", reader=hostPort)
IDENTIFIER = Checked("an identifier", "I" + "0" * 64, reader=_identifier)
POLICY = Checked("a policy over attributes", "dba or admin", reader=_policy)
WAY = Checked(
    "MULTIADDR or IDENTIFIER@MULTIADDR",
    "/dnsaddr/relay.example.com/tcp/4000/service/forward_to_db/secure/api/service/outlet",
    reader=_way,
)
RELAY = Checked("a relay: HOST:PORT, an endpoint string or a MultiAddr", "relay.example.com:4000", reader=_relay)
LISTENER = Checked(
    "the MultiAddr of a listener", "/dnsaddr/authority.example.com/tcp/4100/secure/api", reader=_listener
)
RELAY_NAME = Checked("a relay name", "db", reader=_relayName)
HEADER = Checked("the name of a header", "X-Ockam-Identifier", reader=_header)
VAULT = Checked("a PKCS #11 URI", "pkcs11:token=LABEL?module-path=FILE&pin-source=FILE", reader=_vault)
NAME = Pattern("a name of letters, digits, dots, dashes and underscores", "db", r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
