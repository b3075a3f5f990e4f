"""
One side of a stream through Apache Kafka: it writes one topic and reads another.

C{confluent_kafka} blocks, so there are two threads, one that reads and one that
hears what the broker has; everything else, and whatever is called from here,
is in the reactor's thread.  What has broken in between, the library mends by
itself, for ever; what it cannot mend ends a run, and there may be another one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Event, Thread
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ockam_twisted.routing.addresses import printable
from ockam_twisted.transports.kafkasettings import COMMON, HOPELESS, READING, WRITING, reason, settings
from ockam_twisted.transports.kafkatopics import ANSWER, endOf, makeTopics

#: Seconds that the broker has to take what is left when a run ends, and between two runs.
LAST, AGAIN = 1.0, 2.0

#: Seconds that the end of the process is put off for its end.
ENDING = 1.5

#: How many records are handed over at once, at most.
BATCH = 500

#: Seconds that a thread waits at most before it looks whether it shall end.
_TICK = 0.2


class Side(Protocol):
    """
    Who uses a client.
    """

    def opened(self) -> None:
        """
        A run has begun: it can write, and reads.
        """

    def received(self, values: list[bytes]) -> None:
        """
        Records have come.
        """

    def assigned(self, isOurs: bool) -> None:
        """
        The group has agreed on who reads the topic.
        """

    def lost(self, why: str) -> None:
        """
        A run has ended, or could not begin.
        """


class KafkaClient:
    """
    See the module.
    """

    _log = Logger()

    def __init__(self, reactor: Any, broker: str, writes: str, reads: str, group: str, side: Side) -> None:
        """
        @param broker: Host and port.
        @param writes: The topic that it writes.
        @param reads: The one that it reads.
        @param group: The consumer group, for whoever goes on where he was
            and begins anew what has broken; empty: it reads from now on, once.
        @raise ValueError: The settings cannot be used.
        """
        self.broker = broker
        self._reactor = reactor
        self._config: dict[str, Any] = {"bootstrap.servers": broker, **COMMON, **settings()}
        self._writes = writes
        self._reads = reads
        self._group = group
        self._side = side
        self._producer: Producer | None = None
        self._isClosing = Event()
        self._taken = Event()
        self._wantsPause = False
        self._isAway = False
        self._isOurs = False
        self._isPaused = False
        self._broken: KafkaError | None = None
        self._said: KafkaError | None = None
        self._had: deque[tuple[Callable[[str], object], str]] = deque()
        self._closed: list[Deferred[None]] = []
        self._isOver = False
        self._trigger: Any = None
        self._thread = Thread(target=self._run, name=f"kafka {reads}", daemon=True)

    # ---------------------------------------------------- reactor's thread

    def open(self) -> None:
        """
        Begin.
        """
        self._trigger = self._reactor.addSystemEventTrigger("during", "shutdown", self._shutDown)
        self._thread.start()

    def _shutDown(self) -> None:
        # The process may end at once after this, and has nothing else to do.  Who does not leave
        # its group is waited for by the others of it.
        self._isClosing.set()
        self._thread.join(ENDING)

    def send(self, value: bytes, done: Callable[[str], object]) -> None:
        """
        Write a record.

        @param done: Called with an empty text once the broker has it, or with
            why it never will.
        """
        producer = self._producer

        def delivered(error: KafkaError | None, message: object) -> None:
            # In a thread.
            self._had.append((done, "" if error is None else printable(error.str())))

        try:
            if producer is None or self._isClosing.is_set():
                raise BufferError("there is no connection with the broker")
            producer.produce(self._writes, value, partition=0, on_delivery=delivered)
        except (KafkaException, BufferError) as error:
            # Not before whoever asks for it is done.
            self._reactor.callLater(0, done, reason(error))

    def pause(self) -> None:
        """
        Fetch no more for now.
        """
        self._wantsPause = True

    def resume(self) -> None:
        """
        Fetch again.
        """
        self._wantsPause = False

    def close(self) -> Deferred[None]:
        """
        Write what is left, within L{LAST} seconds, and end.

        @return: Fires once it has.
        """
        self._isClosing.set()
        closed: Deferred[None] = Deferred()
        if self._isOver:
            closed.callback(None)
        else:
            self._closed.append(closed)
        return closed

    def _ended(self) -> None:
        # Its last word.
        self._thread.join()
        self._isOver = True
        if self._trigger is not None:
            try:
                self._reactor.removeSystemEventTrigger(self._trigger)
            except ValueError:
                # It is shutting down, and has said so.
                pass
            self._trigger = None
        closed, self._closed = self._closed, []
        for each in closed:
            each.callback(None)

    def _deliver(self, values: list[bytes]) -> None:
        try:
            if not self._isClosing.is_set():
                self._side.received(values)
        except Exception:
            self._log.failure("A record through {broker} was not dealt with", broker=self.broker, event="kafka-failed")
        finally:
            self._taken.set()

    def _acknowledged(self, had: list[tuple[Callable[[str], object], str]]) -> None:
        for done, why in had:
            done(why)

    def _away(self, isAway: bool, why: str) -> None:
        if isAway:
            self._log.warn(
                "{broker} is out of reach, so that what goes through it waits: {reason}",
                broker=self.broker,
                reason=why,
                event="kafka-away",
            )
        else:
            self._log.info("{broker} can be reached again", broker=self.broker, event="kafka-back")

    # ------------------------------------------------------------- threads

    def _tell(self, what: Callable[..., object], *arguments: object) -> None:
        self._reactor.callFromThread(what, *arguments)

    def _run(self) -> None:
        while not self._isClosing.is_set():
            why = "it was closed"
            try:
                self._oneRun()
            except Exception as error:
                why = reason(error)
            if self._isClosing.is_set():
                break
            self._tell(self._side.lost, why)
            if not self._group:
                break
            self._isClosing.wait(AGAIN)
        self._tell(self._ended)

    def _trouble(self, error: KafkaError) -> None:
        """
        Something has happened that the library deals with.
        """
        if error.fatal():
            self._broken = error
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self._said = error
        if error.code() == KafkaError._ALL_BROKERS_DOWN and not self._isAway:
            self._isAway = True
            self._tell(self._away, True, printable((self._said or error).str()))

    def _oneRun(self) -> None:
        self._isAway = self._isOurs = self._isPaused = False
        self._broken = self._said = None
        producer = Producer({**self._config, **WRITING, "error_cb": self._trouble})
        makeTopics(producer, self._config, (self._writes, self._reads), self._isClosing, lambda: self._said)
        consumer = Consumer(
            {
                **self._config,
                **READING,
                "enable.auto.commit": bool(self._group),
                "group.id": self._group or "none",
                "error_cb": self._trouble,
            }
        )
        hearing = Event()
        ear = Thread(target=self._hear, args=(producer, hearing), name=f"kafka {self._writes}", daemon=True)
        try:
            self._begin(consumer)
            self._producer = producer
            ear.start()
            self._tell(self._side.opened)
            self._read(consumer)
        finally:
            self._producer = None
            if ear.ident is not None:
                hearing.set()
                ear.join()
            if self._isClosing.is_set() and not self._isAway:
                producer.flush(LAST)
            producer.purge()
            producer.flush(LAST)
            self._tellOfHad()
            consumer.close()

    def _hear(self, producer: Producer, ending: Event) -> None:
        while not ending.is_set():
            producer.poll(_TICK)
            self._tellOfHad()

    def _tellOfHad(self) -> None:
        if self._had:
            had = [self._had.popleft() for _ in range(len(self._had))]
            self._tell(self._acknowledged, had)

    def _begin(self, consumer: Consumer) -> None:
        if self._group:
            consumer.subscribe(
                [self._reads],
                on_assign=lambda _, partitions: self._assigned(partitions),
                on_revoke=lambda _, partitions: self._revoked(partitions),
                on_lost=lambda _, partitions: self._revoked(partitions),
            )
        else:
            consumer.assign([TopicPartition(self._reads, 0, endOf(consumer, self._reads, self._isClosing))])
            self._isOurs = True

    def _assigned(self, partitions: list[TopicPartition]) -> None:
        # A list of what has been added.
        self._isPaused = False
        self._isOurs = self._isOurs or any(each.partition == 0 for each in partitions)
        self._tell(self._side.assigned, self._isOurs)

    def _revoked(self, partitions: list[TopicPartition]) -> None:
        self._isOurs = self._isOurs and all(each.partition != 0 for each in partitions)

    def _read(self, consumer: Consumer) -> None:
        topic = [TopicPartition(self._reads, 0)]
        while not self._isClosing.is_set():
            if self._broken is not None:
                raise KafkaException(self._broken)
            if self._wantsPause != self._isPaused and self._isOurs:
                self._isPaused = not self._isPaused
                (consumer.pause if self._isPaused else consumer.resume)(topic)
            first = consumer.poll(_TICK)
            if self._isAway:
                self._look(consumer)
            if first is None:
                continue
            values: list[bytes] = []
            last = -1
            for message in (first, *consumer.consume(BATCH - 1, 0)):
                error = message.error()
                if error is None:
                    if message.partition() == 0:
                        last = message.offset() or 0
                        values.append(message.value() or b"")
                elif error.fatal() or error.code() in HOPELESS:
                    raise KafkaException(error)
            if values:
                self._taken.clear()
                self._tell(self._deliver, values)
                while not self._taken.wait(_TICK):
                    if self._isClosing.is_set():
                        return
                self._store(consumer, last + 1)

    def _look(self, consumer: Consumer) -> None:
        """
        Is the broker back?
        """
        try:
            consumer.list_topics(self._reads, timeout=ANSWER)
        except KafkaException:
            return
        self._isAway = False
        self._tell(self._away, False, "")

    def _store(self, consumer: Consumer, offset: int) -> None:
        if not self._group:
            return
        try:
            consumer.store_offsets(offsets=[TopicPartition(self._reads, 0, offset)])
        except KafkaException:
            # It was taken from us meanwhile; who has it reads that again.
            pass
