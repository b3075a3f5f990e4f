"""
Tests of L{ockam_twisted.ops.metrics}.
"""

from __future__ import annotations

from collections import Counter

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openMetrics
from prometheus_client.parser import text_string_to_metric_families as text
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.ops.lag import LoopLag
from ockam_twisted.ops.metrics import Metrics, NodeCollector
from ockam_twisted.ops.readiness import readiness
from ockam_twisted.ops.status import HopStatus, Limits, NodeStatus, PortalStatus, ProcessStatus, SessionStatus

STATUS = NodeStatus(
    "ockam-node",
    "I0",
    ("tcp:4000",),
    (
        SessionStatus("relay a:1", "up, renewing", 3.0, roundTrip=0.25, kind="relay", changes=3),
        SessionStatus('outlet "x"\n', "waiting", 5.0, "no\nway"),
        SessionStatus('outlet "x"\n', "up", 5.0, streams=2),
    ),
    4,
    (PortalStatus("inlet", "127.0.0.1:1", 2, total=7, reset=1, sent=10, received=20),),
    12.5,
    1,
    2,
    (ProcessStatus(0, 17, "running", 3),),
    connections=(HopStatus("192.0.2.1:4000", 1, 2, 3, True),),
    hops=1,
    limits=Limits((5, 100), (6, 200)),
    dropped={"flow control": 4},
)


class MetricsTests(SynchronousTestCase):
    """
    Tests of L{Metrics}.
    """

    def setUp(self) -> None:
        """
        The metrics of a node.
        """
        self.counts: Counter[str] = Counter({"channel-accepted": 2, "peer-accepted": 1, "stream-denied": 4})
        collector = NodeCollector(lambda: STATUS, lambda: readiness(STATUS, "running"), self.counts, LoopLag(Clock()))
        self.metrics = Metrics(collector)

    def samples(self) -> dict[tuple[str, tuple[str, ...]], float]:
        """
        All values there are, by name and by what tells them apart.
        """
        body, _ = self.metrics.encoded("text/plain")
        return {
            (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text(body.decode())
            for sample in family.samples
        }

    def test_values(self) -> None:
        """
        They are those of the picture, whatever is in a name.
        """
        samples = self.samples()
        two = 'outlet "x"\n (2)'
        for name, labels, value in (
            ("ockam_uptime_seconds", (), 12.5),
            ("ockam_ready", (), 0),
            ("ockam_session_up", ("relay a:1",), 1),
            ("ockam_session_up", ('outlet "x"\n',), 0),
            ("ockam_session_up", (two,), 1),
            ("ockam_session_state", ("relay a:1", "up"), 1),
            ("ockam_session_state", ("relay a:1", "waiting"), 0),
            ("ockam_session_round_trip_seconds", ("relay a:1",), 0.25),
            ("ockam_session_changes_total", ("relay a:1",), 3),
            ("ockam_session_streams", (two,), 2),
            ("ockam_streams_open", ("inlet", "127.0.0.1:1"), 2),
            ("ockam_streams_total", ("inlet", "127.0.0.1:1"), 7),
            ("ockam_streams_reset_total", ("inlet", "127.0.0.1:1"), 1),
            ("ockam_stream_bytes_total", ("sent", "inlet", "127.0.0.1:1"), 10),
            ("ockam_stream_bytes_total", ("received", "inlet", "127.0.0.1:1"), 20),
            ("ockam_registrations", (), 1),
            ("ockam_relay_names", (), 1),
            ("ockam_connections", (), 1),
            ("ockam_connections_held_back", (), 1),
            ("ockam_queue_bytes", (), 5),
            ("ockam_queue_limit_bytes", (), 100),
            ("ockam_window_bytes", (), 6),
            ("ockam_process_connections", ("0", "running"), 3),
            ("ockam_handshakes_total", ("accepted",), 3),
            ("ockam_refusals_total", ("stream-denied",), 4),
            ("ockam_limits_hit_total", ("reader-slow",), 0),
            ("ockam_events_total", ("stream-denied",), 4),
            ("ockam_messages_dropped_total", ("flow control",), 4),
        ):
            self.assertEqual(samples[name, labels], value, name)
        self.assertGreater(samples["process_resident_memory_bytes", ()], 1e6)

    def test_anew(self) -> None:
        """
        Each time they are read anew.
        """
        self.counts["stream-denied"] += 1
        self.assertEqual(self.samples()["ockam_refusals_total", ("stream-denied",)], 5)

    def test_forms(self) -> None:
        """
        Who asks for OpenMetrics gets that, and it can be read.
        """
        body, kind = self.metrics.encoded("application/openmetrics-text; version=1.0.0")
        self.assertIn("openmetrics", kind)
        names = {family.name for family in openMetrics(body.decode())}
        self.assertIn("ockam_stream_bytes", names)
        self.assertIn("text/plain", self.metrics.encoded("")[1])

    def test_named(self) -> None:
        """
        What tells series apart comes from us or from the operator: no
        address or identifier of a peer is among it.
        """
        body, _ = self.metrics.encoded("")
        self.assertNotIn(b"192.0.2.1", body)
