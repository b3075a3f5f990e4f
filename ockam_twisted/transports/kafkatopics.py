"""
What has to be known of the topics of a stream before it begins.  All of this blocks:
it is for a thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition, admin

from ockam_twisted.transports.kafkasettings import HOPELESS

#: Seconds that all of it may take, that one answer may take, and between two questions.
PATIENCE, ANSWER, AGAIN = 10.0, 2.0, 0.2

#: It is not exported for type checkers.
_NewTopic: Any = vars(admin)["NewTopic"]


def _asked(ask: Callable[[], Any], isClosing: Event, known: Callable[[], KafkaError | None]) -> Any:
    """
    Ask until there is an answer.

    @param ask: Asks once, for L{ANSWER} seconds at most.
    @param isClosing: Nobody waits any more.
    @param known: What else is known of why there is none.
    @raise KafkaException: There is none.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except KafkaException as error:
            why = known() or error.args[0]
            if why.code() in HOPELESS or isClosing.wait(AGAIN) or time.monotonic() > deadline:
                raise KafkaException(why) from None


def makeTopics(
    producer: Producer,
    config: dict[str, Any],
    names: tuple[str, ...],
    isClosing: Event,
    said: Callable[[], KafkaError | None],
) -> None:
    """
    Make the topics that are not there, with one partition each.

    @param config: Of clients.
    @param said: What the library has said last of what is wrong.
    @raise KafkaException: The broker cannot be reached, or there is a topic that it
        neither has nor makes.
    """

    def known() -> KafkaError | None:
        # It says that from here only.
        producer.poll(0)
        return said()

    there = _asked(lambda: producer.list_topics(timeout=ANSWER), isClosing, known).topics
    wanted = [_NewTopic(each, num_partitions=1) for each in names if each not in there]
    if not wanted:
        return
    # It has to live for as long as it is waited for.
    client = admin.AdminClient(config)
    for made in client.create_topics(wanted, request_timeout=PATIENCE).values():
        try:
            made.result(PATIENCE + 1)
        except KafkaException as error:
            # Whoever is at the other end may have made it meanwhile.
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def endOf(consumer: Consumer, topic: str, isClosing: Event) -> int:
    """
    @return: Where a topic ends now.
    @raise KafkaException: It cannot be learned.
    """

    def ask() -> int:
        return int(consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=ANSWER)[1])

    # Nobody may lead a topic that was just made.
    end: int = _asked(ask, isClosing, lambda: None)
    return end
