"""
Streams through Apache Kafka: two topics, one for each direction, and a broker
that may be away, or restart, while the connections through it go on.

Who listens reads as a consumer group, named as the stream, whose saved offset says
how far it has come: of several that listen to one stream one does, and another
takes its place.  Who dials reads from now on, what is for it alone.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort, IStreamClientEndpoint, IStreamServerEndpoint
from zope.interface import implementer

from ockam_twisted.routing.multiaddr import Component
from ockam_twisted.transports.kafkasettings import settings
from ockam_twisted.transports.kafkasides import Dialer, Listener
from ockam_twisted.transports.roads import hostComponents
from ockam_twisted.transports.strings import arguments, port, unbracketed
from ockam_twisted.wire.codecs import PATIENT

#: Characters of a stream's name.
MAX_NAME = 200

#: Seconds that who has dialed may be away, unless who listens says otherwise.  Somebody who was killed
#: is not told apart from him.
AWAY = 24 * 3600


def _checked(stream: str) -> str:
    if not re.fullmatch(f"[A-Za-z0-9._-]{{1,{MAX_NAME}}}", stream):
        raise ValueError(f"a stream's name has 1 to {MAX_NAME} letters, digits, dots, dashes and underscores")
    return stream


class _Endpoint:
    """
    What both kinds have in common.
    """

    codec = PATIENT

    def __init__(self, reactor: Any, host: str, number: int, stream: str, away: int = AWAY) -> None:
        """
        @param host: Of a broker, a name or an address.
        @param number: Its port.
        @param stream: The name of the stream.
        @param away: Seconds that who has dialed may be away.
        @raise ValueError: It has no possible name, or the settings cannot be used.
        """
        self._reactor = reactor
        self.broker = f"[{host}]:{number}" if ":" in host else f"{host}:{number}"
        self.stream = _checked(stream)
        self.away = away
        settings()


@implementer(IStreamClientEndpoint)
class KafkaEndpoint(_Endpoint):
    """
    Connects to who listens to a stream.
    """

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """
        See C{IStreamClientEndpoint}.

        @return: Fires with the hop once the broker is reached: whether somebody
            listens shows when he answers.
        """
        dialer = Dialer(self._reactor, self.broker, self.stream, protocolFactory)
        done = dialer.done
        assert done is not None
        dialer.client.open()
        return done


@implementer(IStreamServerEndpoint)
class KafkaServerEndpoint(_Endpoint):
    """
    Listens to a stream.
    """

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """
        See C{IStreamServerEndpoint}.  A broker that is away is waited for.
        """
        listener = Listener(self._reactor, self.broker, self.stream, protocolFactory, self.away)
        listener.client.open()
        return succeed(listener)


# ----------------------------------------------------------------- the road


def clientEndpoint(reactor: Any, components: tuple[Component, ...]) -> KafkaEndpoint:
    """
    See L{ockam_twisted.transports.roads}: C{/tcp/PORT/kafka/STREAM}.
    """
    (_, host), (_, number), (_, stream) = components
    return KafkaEndpoint(reactor, str(host), int(number), str(stream))


def _parts(rest: str) -> tuple[str, int, str, int]:
    (host, number, stream), named = arguments(rest, 3, ("away",))
    away = named.get("away", str(AWAY))
    if not re.fullmatch("[1-9][0-9]{0,7}", away):
        raise ValueError(f"away= is a number of seconds, and not {away[:20]!a}")
    return unbracketed(host), port(number, 1), _checked(stream), int(away)


def components(prefix: str, rest: str) -> tuple[Component, ...]:
    """
    See L{ockam_twisted.transports.roads}: C{kafka:HOST:PORT:STREAM}.
    """
    # How long it waits is for who listens to say.
    host, number, stream, _ = _parts(rest)
    return (*hostComponents(host, number), ("kafka", stream))


def serverEndpoint(reactor: Any, prefix: str, rest: str) -> KafkaServerEndpoint:
    """
    See L{ockam_twisted.transports.roads}: C{kafka:HOST:PORT:STREAM:away=SECONDS}.
    """
    return KafkaServerEndpoint(reactor, *_parts(rest))
