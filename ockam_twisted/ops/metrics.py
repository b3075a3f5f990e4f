"""
A picture of a node as metrics for Prometheus (C{docs/observability.rst}).

Nothing is counted for this: numbers that the node keeps anyway are read when
somebody asks for them.  What tells series of one metric apart is named by the
operator or by us, never by a peer.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ockam_twisted import __version__
from ockam_twisted.ops.lag import LoopLag
from ockam_twisted.ops.readiness import Readiness

#: What became of handshakes, by the events that say so.
_HANDSHAKES = {
    "accepted": ("channel-accepted", "peer-accepted"),
    "refused": ("channel-refused", "peer-refused"),
    "failed": ("handshake-failed", "handshake-error"),
    "too fast": ("handshakes-too-fast",),
}

#: What was refused, by the events that say so.
_REFUSALS = (
    "channel-refused",
    "client-refused",
    "code-refused",
    "connection-refused",
    "credential-refused",
    "name-refused",
    "peer-refused",
    "proxy-refused",
    "request-refused",
    "stream-denied",
    "stream-refused",
)

#: What has met a limit, by the events that say so.
_LIMITS = (
    "connection-refused",
    "descriptors-gone",
    "handshakes-too-fast",
    "message-too-large",
    "reader-slow",
    "reader-stalled",
    "requests-too-many",
    "streams-forgotten",
)

#: The states a session can have; each is a series.
_STATES = ("idle", "trying", "waiting", "up")


class NodeCollector(Collector):
    """
    Makes metrics of a picture of a node.
    """

    def __init__(self, picture: Any, ready: Any, counts: Mapping[str, int], lag: LoopLag) -> None:
        """
        @param picture: Makes the L{ockam_twisted.ops.status.NodeStatus}.
        @param ready: Makes the L{Readiness}.
        @param counts: How often each log event was.
        """
        self._picture = picture
        self._ready = ready
        self._counts = counts
        self._lag = lag

    def collect(self) -> Iterable[Metric]:
        """
        See C{Collector}.
        """
        status, ready = self._picture(), self._ready()
        yield from self._node(status, ready)
        yield from _sessions(status)
        yield from _portals(status)
        yield from _connections(status)
        yield from self._events(status)
        yield from _process()

    def describe(self) -> Iterable[Metric]:
        """
        See C{Collector}: nothing has to be collected to register it.
        """
        return ()

    def _node(self, status: Any, ready: Readiness) -> Iterator[Metric]:
        info = InfoMetricFamily("ockam_node", "What this is.")
        info.add_metric((), {"version": __version__, "command": status.name, "identifier": status.identifier})
        yield info
        yield _gauge("ockam_uptime_seconds", "For how long the node has been running.", status.seconds)
        yield _gauge("ockam_ready", "1 while every configured session is up, else 0.", int(ready.isReady))
        yield _gauge("ockam_members", "Members of this node.", status.members)
        yield _gauge("ockam_tickets_open", "Tickets that could be redeemed.", len(status.tickets))
        yield _gauge("ockam_relay_names", "Names that are registered at this relay.", status.relayed)
        registered = sum(each.kind == "relay" and each.state.startswith("up") for each in status.sessions)
        yield _gauge("ockam_registrations", "Relays that this node is reached through, now.", registered)
        yield _gauge(
            "ockam_event_loop_lag_seconds", "How late the node was at its last look at the clock.", self._lag.last
        )
        yield _gauge("ockam_event_loop_lag_max_seconds", "The latest that it was within a minute.", self._lag.most)
        processes = GaugeMetricFamily(
            "ockam_process_connections", "Connections of each process of a relay.", labels=("process", "state")
        )
        for each in status.processes:
            processes.add_metric((str(each.number), each.state), each.connections)
        yield processes

    def _events(self, status: Any) -> Iterator[Metric]:
        counts = self._counts
        events = CounterMetricFamily("ockam_events", "Log events, by name (docs/log-events).", labels=("event",))
        for name, count in sorted(counts.items()):
            events.add_metric((name,), count)
        yield events
        handshakes = CounterMetricFamily("ockam_handshakes", "Handshakes, by how they ended.", labels=("outcome",))
        for outcome, names in _HANDSHAKES.items():
            handshakes.add_metric((outcome,), sum(counts.get(name, 0) for name in names))
        yield handshakes
        for name, text, label, names in (
            ("ockam_refusals", "What was refused, by the event that says why.", "reason", _REFUSALS),
            ("ockam_limits_hit", "Limits that were met, by the event that says which.", "limit", _LIMITS),
        ):
            counter = CounterMetricFamily(name, text, labels=(label,))
            for each in names:
                counter.add_metric((each,), counts.get(each, 0))
            yield counter
        dropped = CounterMetricFamily("ockam_messages_dropped", "Messages nobody got, by why.", labels=("reason",))
        for reason, count in sorted(status.dropped.items()):
            dropped.add_metric((reason,), count)
        yield dropped


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _sessions(status: Any) -> Iterator[Metric]:
    labels = ("session",)
    states = GaugeMetricFamily("ockam_session_state", "1 for the state it is in.", labels=("session", "state"))
    up = GaugeMetricFamily("ockam_session_up", "1 while there is a way, else 0.", labels=labels)
    since = GaugeMetricFamily("ockam_session_state_seconds", "Since when it is up, or down.", labels=labels)
    trips = GaugeMetricFamily("ockam_session_round_trip_seconds", "Of the last ping to its far end.", labels=labels)
    streams = GaugeMetricFamily("ockam_session_streams", "Open streams over it.", labels=labels)
    changes = CounterMetricFamily("ockam_session_changes", "How often it came up, or was lost.", labels=labels)
    # Several ways may be called the same.
    seen: dict[str, int] = {}
    for each in status.sessions:
        number = seen[each.label] = seen.get(each.label, 0) + 1
        label = each.label if number == 1 else f"{each.label} ({number})"
        state = each.state.partition(",")[0]
        for name in _STATES:
            states.add_metric((label, name), int(name == state))
        up.add_metric((label,), int(state == "up"))
        since.add_metric((label,), each.seconds)
        streams.add_metric((label,), each.streams)
        changes.add_metric((label,), each.changes)
        if each.roundTrip is not None:
            trips.add_metric((label,), each.roundTrip)
    yield from (states, up, since, trips, streams, changes)


def _portals(status: Any) -> Iterator[Metric]:
    labels = ("portal", "kind")
    streams = GaugeMetricFamily("ockam_streams_open", "Open streams.", labels=labels)
    opened = CounterMetricFamily("ockam_streams", "Streams since the start.", labels=labels)
    reset = CounterMetricFamily("ockam_streams_reset", "Streams that ended with a reset.", labels=labels)
    moved = CounterMetricFamily(
        "ockam_stream_bytes",
        "Bytes of streams: sent to the far end, received from it.",
        labels=("portal", "kind", "direction"),
    )
    dropped = CounterMetricFamily("ockam_datagrams_dropped", "Datagrams that were lost at this end.", labels=labels)
    for each in status.portals:
        at = (each.at, each.kind)
        if each.kind.startswith("udp"):
            dropped.add_metric(at, each.dropped)
        streams.add_metric(at, each.streams)
        opened.add_metric(at, each.total)
        reset.add_metric(at, each.reset)
        moved.add_metric((*at, "sent"), each.sent)
        moved.add_metric((*at, "received"), each.received)
    yield from (streams, opened, reset, moved, dropped)


def _connections(status: Any) -> Iterator[Metric]:
    yield _gauge("ockam_connections", "Connections with other nodes.", status.hops)
    yield _gauge("ockam_channels", "Secure channels.", status.channels)
    held = sum(each.isHeldBack for each in status.connections)
    yield _gauge("ockam_connections_held_back", "Connections that are not read from: somebody is slow.", held)
    for name, text, (used, limit) in (
        ("queue", "that wait in all output queues", status.limits.queued),
        ("window", "promised to streams", status.limits.windows),
    ):
        yield _gauge(f"ockam_{name}_bytes", f"Bytes {text}.", used)
        yield _gauge(f"ockam_{name}_limit_bytes", "How many there may be.", limit)


def _process() -> Iterator[Metric]:
    """
    What the process takes, where the system tells.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        descriptors = len(os.listdir("/proc/self/fd"))
    except (OSError, ValueError, IndexError):
        return
    times = os.times()
    yield _gauge("process_resident_memory_bytes", "Memory that the process takes.", resident)
    yield _gauge("process_open_fds", "Descriptors that are open.", descriptors)
    cpu = CounterMetricFamily("process_cpu_seconds", "CPU time of the process.")
    cpu.add_metric((), times.user + times.system)
    yield cpu


class Metrics:
    """
    The metrics of one node, in the form that a scraper asks for.
    """

    def __init__(self, collector: NodeCollector) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(collector)

    def encoded(self, accept: str) -> tuple[bytes, str]:
        """
        @param accept: The header of that name.
        @return: The metrics, and what type they are of.
        """
        encode, kind = choose_encoder(accept)
        return encode(self._registry), kind
