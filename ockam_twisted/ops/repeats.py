"""
Repeated events are said once, then how often.

The same event with the same fields is logged the first time.  After ten
seconds it is said how often it came again, with the latest of them, then
after twenty more, forty, ... up to an hour; once it has not come for five
minutes, it is news again.  Numbers with a fraction are measurements: they make no
difference.

What differs each time is limited by its name: a few dozen at once, then one
every two seconds; how many were left out is said the same way.  So thousands
of strangers, each with a name of its own, cannot fill a disk, and what is kept
of them is bounded.

Events of the level C{debug} are passed on as they are: who asks for them
wants all of them.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import get_ident
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger, LogLevel, formatEvent

from ockam_twisted.ops.records import OTHER, nameOf

#: Seconds until repetitions are first said, and the longest time after that.
FIRST, LONGEST = 10.0, 3600.0

#: Seconds after which what comes again is news.
QUIET = 300.0

#: How many different events of one name are logged at once, and each after so
#: many seconds.
BURST, EVERY = 50, 2.0

#: Of how many different events of one name it is known that they come again.
_MAX_SAME = 16

#: How many names of events of others are told apart.
_MAX_OTHERS = 64

#: Which fields say what an event is about: a change of that ends what was
#: repeated before.
_SUBJECTS = ("label", "target")


class Bucket:
    """
    Permits a burst, and then a rate.
    """

    __slots__ = ("_at", "_burst", "_every", "_left")

    def __init__(self, burst: int, every: float) -> None:
        """
        @param every: Seconds for each one after the burst.
        """
        self._burst, self._every = burst, every
        self._left, self._at = float(burst), float("-inf")

    def take(self, now: float) -> bool:
        """
        One more?
        """
        # The clock may have been set back.
        gained = max(0.0, now - self._at) / self._every
        self._left, self._at = min(self._burst, self._left + gained), now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class _Count:
    """
    How often something has come since that was last said.
    """

    __slots__ = ("count", "due", "event", "interval", "last", "since", "subject")

    def __init__(self, now: float, event: Any) -> None:
        self.count = 0
        self.since = self.last = now
        self.interval = FIRST
        self.due = now + FIRST
        self.event = _kept(event)
        self.subject = next((event[each] for each in _SUBJECTS if each in event), None)

    def add(self, event: Any, now: float) -> None:
        self.count += 1
        self.event, self.last = _kept(event), now

    def said(self, now: float) -> None:
        self.count, self.since = 0, now
        self.interval = min(LONGEST, 2 * self.interval)
        self.due = now + self.interval


class _Kind:
    """
    What is known of events of one name.
    """

    __slots__ = ("bucket", "left", "same")

    def __init__(self) -> None:
        self.bucket = Bucket(BURST, EVERY)
        self.left: _Count | None = None
        self.same: OrderedDict[int, _Count] = OrderedDict()


def _kept(event: Any) -> Any:
    """
    An event to be remembered: not with what has said it, a connection perhaps,
    which would live as long.
    """
    return {name: value for name, value in event.items() if name not in ("log_source", "log_logger")}


def _sameness(event: Any) -> int:
    if nameOf(event) == OTHER:
        return hash(formatEvent(event))
    return hash(
        tuple(
            value
            for name, value in event.items()
            if type(value) in (str, int, bool) and not (type(name) is str and name.startswith("log_"))
        )
    )


class Repeats:
    """
    See the module.  An observer.
    """

    def __init__(self, observer: Any, clock: IReactorTime) -> None:
        """
        @param observer: What is to be logged goes there.
        """
        self._observer = observer
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}
        self._calling: IDelayedCall | None = None
        self._thread = get_ident()
        # Its own summaries are not counted again.
        self._log = Logger(namespace=__name__, observer=observer)

    def __call__(self, event: Any) -> None:
        """
        Something has happened.
        """
        if event.get("log_level") is LogLevel.debug or get_ident() != self._thread:
            # Other threads have no timers, and log next to nothing.
            self._observer(event)
            return
        now = self._clock.seconds()
        kind = self._kind(event)
        key = _sameness(event)
        count = kind.same.get(key)
        if count is not None and now < count.since:
            # The clock was set back.
            count.since, count.due = now, now + count.interval
        if count is not None and now - count.last < QUIET:
            count.add(event, now)
            if now < count.due:
                self._callAt(count.due, now)
            else:
                self._sayAgain(count, now)
                count.said(now)
        elif kind.bucket.take(now):
            subject = next((event[each] for each in _SUBJECTS if each in event), None)
            if subject is not None:
                self._changed(subject, now)
            kind.same.pop(key, None)
            if len(kind.same) >= _MAX_SAME:
                _, oldest = kind.same.popitem(last=False)
                self._sayAgain(oldest, now)
            kind.same[key] = _Count(now, event)
            self._observer(event)
        else:
            if kind.left is None:
                kind.left = _Count(now, event)
            kind.left.add(event, now)
            self._callAt(kind.left.due, now)

    def _kind(self, event: Any) -> _Kind:
        name = nameOf(event)
        if name == OTHER:
            name = f"{event.get('log_namespace')} {str(event.get('log_format'))[:80]}"
            if name not in self._kinds and len(self._kinds) >= 256 + _MAX_OTHERS:
                name = OTHER
        kind = self._kinds.get(name)
        if kind is None:
            kind = self._kinds[name] = _Kind()
        return kind

    def _changed(self, subject: Any, now: float) -> None:
        """
        Something else is said of it: first, how often what was said before.
        """
        for kind in self._kinds.values():
            for key, count in list(kind.same.items()):
                if count.subject == subject:
                    del kind.same[key]
                    self._sayAgain(count, now)

    # ------------------------------------------------------------- summaries

    def _callAt(self, due: float, now: float) -> None:
        if self._calling is None or not self._calling.active():
            self._calling = self._clock.callLater(max(0.0, due - now), self._due)
        elif self._calling.getTime() > due:
            self._calling.reset(max(0.0, due - now))

    def _due(self) -> None:
        self._calling = None
        now = self._clock.seconds()
        dues = []
        for kind in self._kinds.values():
            for count in kind.same.values():
                if count.count and count.due <= now:
                    self._sayAgain(count, now)
                    count.said(now)
                if count.count:
                    dues.append(count.due)
            left = kind.left
            if left is not None and left.due <= now:
                if left.count:
                    self._sayLeft(left, now)
                    left.said(now)
                else:
                    kind.left = left = None
            if left is not None:
                # Looked at once more, to be forgotten.
                dues.append(left.due)
        if dues:
            self._callAt(min(dues), now)

    def _sayAgain(self, count: _Count, now: float) -> None:
        if count.count:
            self._observer(_repeated(count.event, count.count, now - count.since))

    def _sayLeft(self, left: _Count, now: float) -> None:
        self._log.warn(
            "{count} more lines like the next one were left out in {seconds:.0f} s",
            of=nameOf(left.event),
            count=left.count,
            seconds=now - left.since,
            event="left-out",
        )
        self._observer(left.event)

    def flush(self) -> None:
        """
        Say what is still to be said: this process ends.
        """
        now = self._clock.seconds()
        for kind in self._kinds.values():
            for count in kind.same.values():
                self._sayAgain(count, now)
                count.count = 0
            if kind.left is not None and kind.left.count:
                self._sayLeft(kind.left, now)
                kind.left.count = 0
        if self._calling is not None and self._calling.active():
            self._calling.cancel()


def _repeated(event: Any, count: int, seconds: float) -> Any:
    """
    The latest of several, which says how many there were.
    """
    event = dict(event)
    text = event.get("log_format")
    event["repeated"], event["within"] = count, round(seconds)
    if isinstance(text, str):
        event["log_format"] = text + " ({repeated} more times in {within} s)"
    if "forwarded" in event:
        said = f"{event['forwarded']['message']} ({count} more times in {seconds:.0f} s)"
        event["forwarded"] = {**event["forwarded"], "message": said}
    return event
