"""
How C{confluent_kafka} is set for streams, and what an operator may set besides.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from ockam_twisted.routing.addresses import printable

#: The environment variable that names a file of settings, and what they may
#: begin with: how to reach a broker, not what a stream has to rely on.
VARIABLE = "OCKAM_TWISTED_KAFKA"
PERMITTED = ("security.protocol", "ssl.", "sasl.", "enable.ssl.", "client.", "broker.address.family")

#: Bytes of records that are fetched ahead.
AHEAD = 4 * 1024 * 1024

_quiet = logging.getLogger("ockam_twisted.kafka")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False

#: Of all clients.
COMMON: dict[str, Any] = {
    "reconnect.backoff.max.ms": 2000,
    "socket.connection.setup.timeout.ms": 10_000,
    "socket.keepalive.enable": True,
    # A topic may have been made anew.
    "topic.metadata.refresh.interval.ms": 30_000,
    "allow.auto.create.topics": False,
    "logger": _quiet,
}
#: Of those that write.
WRITING: dict[str, Any] = {
    # In order and once, for as long as it takes.
    "enable.idempotence": True,
    "message.timeout.ms": 0,
    "linger.ms": 0,
}
#: Of those that read.
READING: dict[str, Any] = {
    "enable.auto.offset.store": False,
    "auto.commit.interval.ms": 1000,
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 10_000,
    "heartbeat.interval.ms": 2000,
    "queued.max.messages.kbytes": AHEAD // 1024,
    "fetch.max.bytes": AHEAD,
    "fetch.queue.backoff.ms": 20,
}


#: What does not get better by waiting.
HOPELESS = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._AUTHENTICATION,
)


def settings() -> dict[str, str]:
    """
    What the file says that L{VARIABLE} names: one C{name=value} a line, as in
    those of Kafka.

    @raise ValueError: It cannot be read, or says what is not for it to say.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return {}
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{VARIABLE}: {path} cannot be read: {error}") from None
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        name, isSetting, value = line.partition("=")
        name = name.strip()
        if not line or line.startswith("#"):
            continue
        if not isSetting or not name.startswith(PERMITTED):
            # Without a =, it may be a secret that somebody has pasted.
            what = f"not {name[:40]!a}" if isSetting else "has to say NAME=VALUE"
            raise ValueError(f"{VARIABLE}: {path}, line {number}: it may set {', '.join(PERMITTED)}, and {what}")
        found[name] = value.strip()
    return found


def reason(error: Exception) -> str:
    """
    @return: What a C{KafkaException} says, for people.
    """
    inner = error.args[0] if isinstance(error, KafkaException) and error.args else error
    return printable(inner.str() if isinstance(inner, KafkaError) else str(inner))
