"""
Tests for L{ockam_twisted.sessions.life}.
"""

from __future__ import annotations

from automat import NoTransition
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from ockam_twisted.routing.addresses import Route
from ockam_twisted.sessions.life import Core, Established, Life, makeLife


class _Core(Core):
    """
    Writes down what it is asked to do.
    """

    def __init__(self) -> None:
        self.done: list[str] = []

    def attempt(self) -> None:
        self.done.append("attempt")

    def cancelAttempt(self) -> None:
        self.done.append("cancelAttempt")

    def wait(self, reason: str) -> None:
        self.done.append(f"wait: {reason}")

    def cancelWait(self) -> None:
        self.done.append("cancelWait")

    def comeUp(self, established: Established) -> None:
        self.done.append("comeUp")

    def goDown(self) -> float:
        self.done.append("goDown")
        return 7.0

    def discard(self, established: Established) -> None:
        self.done.append("discard")

    def rest(self) -> None:
        self.done.append("rest")

    def renew(self, reason: str) -> None:
        self.done.append("renew")

    def replace(self, established: Established) -> None:
        self.done.append("replace")

    def keep(self, reason: str) -> None:
        self.done.append(f"keep: {reason}")

    def goOn(self, reason: str) -> None:
        self.done.append(f"goOn: {reason}")


def _established() -> Established:
    return Established(Route.of("far"), Deferred(), lambda: 0, lambda timeout: Deferred(), lambda: None, "it")


class LifeTests(SynchronousTestCase):
    """
    What follows what.
    """

    def setUp(self) -> None:
        """
        A machine and what it asks for.
        """
        self.core = _Core()
        self.life: Life = makeLife(self.core)

    def test_failsAndSucceeds(self) -> None:
        """
        An attempt that fails is followed by a wait, that by the next attempt.
        """
        self.life.start()
        self.life.failed("nobody there")
        self.life.due()
        self.life.succeeded(_established())
        self.assertEqual(self.core.done, ["attempt", "wait: nobody there", "attempt", "comeUp"])

    def test_lost(self) -> None:
        """
        What is lost is taken down before the wait, which says how long it
        lasted.
        """
        self.life.start()
        self.life.succeeded(_established())
        self.life.lost("reset")
        self.assertEqual(self.core.done, ["attempt", "comeUp", "goDown", "wait: down after 7 s: reset"])

    def test_stop(self) -> None:
        """
        A stop undoes what is under way in each state, and what an attempt
        still brings then is ended.
        """
        self.life.stop()
        self.assertEqual(self.core.done, [])
        self.life.start()
        self.life.stop()
        self.life.succeeded(_established())
        self.life.start()
        self.life.failed("no")
        self.life.stop()
        self.life.start()
        self.life.succeeded(_established())
        self.life.stop()
        self.assertEqual(
            self.core.done,
            ["attempt", "cancelAttempt", "rest", "discard"]
            + ["attempt", "wait: no", "cancelWait", "rest"]
            + ["attempt", "comeUp", "goDown", "rest"],
        )

    def test_renewed(self) -> None:
        """
        What is in use stays so until the attempt has succeeded, and if it
        fails; if it is lost meanwhile the attempt goes on.
        """
        self.life.start()
        self.life.succeeded(_established())
        self.life.renew("old")
        self.life.failed("nobody there")
        self.life.renew("old")
        self.life.succeeded(_established())
        self.life.renew("old")
        self.life.lost("reset")
        self.life.succeeded(_established())
        self.assertEqual(
            self.core.done,
            ["attempt", "comeUp", "renew", "keep: nobody there", "renew", "replace"]
            + ["renew", "goDown", "goOn: down after 7 s: reset", "comeUp"],
        )

    def test_noSense(self) -> None:
        """
        What cannot happen is an error, not a guess.
        """
        self.assertRaises(NoTransition, self.life.due)
        self.assertRaises(NoTransition, self.life.lost, "reset")
        self.life.start()
        self.assertRaises(NoTransition, self.life.start)

    def test_explored(self) -> None:
        """
        Whatever happens, at most one thing is under way, and after a stop
        nothing is.
        """

        class Explored(RuleBasedStateMachine):
            def __init__(self) -> None:
                super().__init__()
                self.core = _Core()
                self.life: Life = makeLife(self.core)
                self.state = "idle"

            def follows(self, state: str, *done: str) -> None:
                assert [each.partition(":")[0] for each in self.core.done] == list(done), (self.state, self.core.done)
                self.core.done.clear()
                self.state = state

            @precondition(lambda self: self.state == "idle")
            @rule()
            def start(self) -> None:
                self.life.start()
                self.follows("trying", "attempt")

            @rule()
            def stop(self) -> None:
                undo = {
                    "idle": (),
                    "trying": ("cancelAttempt", "rest"),
                    "waiting": ("cancelWait", "rest"),
                    "renewing": ("cancelAttempt", "goDown", "rest"),
                }
                done = undo.get(self.state, ("goDown", "rest"))
                self.life.stop()
                self.follows("idle", *done)

            @precondition(lambda self: self.state in ("trying", "idle", "renewing"))
            @rule()
            def succeed(self) -> None:
                after = {"trying": ("up", "comeUp"), "idle": ("idle", "discard"), "renewing": ("up", "replace")}
                self.life.succeeded(_established())
                self.follows(*after[self.state])

            @precondition(lambda self: self.state in ("trying", "idle", "renewing"))
            @rule()
            def fail(self) -> None:
                after = {"trying": ("waiting", "wait"), "idle": ("idle",), "renewing": ("up", "keep")}
                self.life.failed("no")
                self.follows(*after[self.state])

            @precondition(lambda self: self.state == "up")
            @rule()
            def renew(self) -> None:
                self.life.renew("old")
                self.follows("renewing", "renew")

            @precondition(lambda self: self.state == "waiting")
            @rule()
            def due(self) -> None:
                self.life.due()
                self.follows("trying", "attempt")

            @precondition(lambda self: self.state in ("up", "renewing"))
            @rule()
            def lose(self) -> None:
                after = {"up": ("waiting", "goDown", "wait"), "renewing": ("trying", "goDown", "goOn")}
                self.life.lost("reset")
                self.follows(*after[self.state])

        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            Explored, settings=settings(max_examples=60, stateful_step_count=20, deadline=None, derandomize=True)
        )
