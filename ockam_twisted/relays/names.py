"""
Which names a relay gives (spec portals, section 8.5; design, section 5).
Pure.
"""

from __future__ import annotations

import re

from ockam_twisted.errors import InvalidRelayName
from ockam_twisted.routing.addresses import Address, printable

#: What stands before a name in the address of a relay.
RELAY_PREFIX = "forward_to_"

#: The request for a name of the relay's choice; no name itself.
REGISTER = "register"

#: Where a relay takes registrations (spec portals, section 8.1).
FORWARDING_SERVICE = Address.local("forwarding_service")
STATIC_FORWARDING_SERVICE = Address.local("static_forwarding_service")

#: Where it is told who sends to which name (C{docs/relay-extension.rst}).
NOTICES = Address.local("relay_notices")

#: Names of services that a node may have (spec portals, section 10.1): none of
#: them can be a relay's.
SERVICES = frozenset(
    {
        "api",
        "credential_issuer",
        "direct_authenticator",
        "echo",
        "enrollment_token_acceptor",
        "enrollment_token_issuer",
        "forwarding",
        "forwarding_service",
        "hop",
        "key_exchanger",
        "okta",
        "outlet",
        "relay_notices",
        "rendezvous",
        "secure_channel",
        "secure_channel_listener",
        "static_forwarding",
        "static_forwarding_api",
        "static_forwarding_service",
        "udp",
        "uppercase",
        "_internal.nodemanager",
    }
)

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_IDENTIFIER = re.compile(r"[Ii][0-9A-Fa-f]{64}", re.ASCII)


def checkRelayName(name: str) -> None:
    """
    May a relay have this name?  It may, too, if it is L{identifierShaped}:
    then it has 65 characters.

    @raise InvalidRelayName: It may not; the text says why.
    """
    if identifierShaped(name) is not None:
        return
    if not name:
        raise InvalidRelayName("a relay name has at least one character")
    if not _NAME.fullmatch(name):
        raise InvalidRelayName(
            f"not a relay name: {printable(name, 80)}: at most 64 letters, digits, dots, underscores and hyphens"
        )
    if name == REGISTER:
        raise InvalidRelayName("a relay cannot be called register: that asks for a name of the relay's choice")
    if isReserved(name):
        raise InvalidRelayName(f"a relay cannot be called {name}: that is the name of a service")


def identifierShaped(name: str) -> str | None:
    """
    Does a name look like an identifier, in whatever case?  Such a name
    belongs to that identity.

    @return: The identifier in text, C{I} and lower-case digits, which is the
        only form that such a name is registered in; L{None} if it does not.
    """
    return "I" + name[1:].lower() if _IDENTIFIER.fullmatch(name) else None


def isReserved(name: str) -> bool:
    """
    Is it what some service of a node is called?
    """
    return name.lower() in SERVICES


def relayAddress(name: str) -> Address:
    """
    The address of the relay with a name.
    """
    return Address.local(RELAY_PREFIX + name)
