"""The engine in memory behaves as the measured real one does (tests/integration/test_dapr_facts.py, Starting and Raising events)."""

from __future__ import annotations

from typing import Any

import pytest

from sayso.engine import NoSuchInstanceError
from sayso.testing.memory import MemoryEngine


def twice(ctx: Any, given: Any) -> Any:
    first = yield ctx.wait_for_external_event("go")
    second = yield ctx.wait_for_external_event("go")
    return [given, first, second]


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine({"twice": twice}, {})


def test_an_unknown_instance_has_no_state_and_takes_no_event(engine: MemoryEngine) -> None:
    assert engine.state("one") is None
    with pytest.raises(NoSuchInstanceError):
        engine.raise_event("one", "go", {})


def test_starting_an_active_instance_again_changes_nothing(engine: MemoryEngine) -> None:
    engine.start("twice", "one", {"n": 1})
    engine.raise_event("one", "GO", {"a": 1})
    engine.start("twice", "one", {"n": 2})
    engine.raise_event("one", "go", {"a": 2})
    state = engine.state("one")
    assert state is not None
    assert (state.status, state.has_ended, state.output) == ("COMPLETED", True, [{"n": 1}, {"a": 1}, {"a": 2}])
    assert [entry.kind for entry in engine.history("one")].count("EVENT_RAISED") == 2
    engine.check_replays()


def test_an_ended_instance_swallows_events_and_is_run_again_by_a_start(engine: MemoryEngine) -> None:
    engine.start("twice", "one", {"n": 1})
    for _ in range(3):
        engine.raise_event("one", "go", {"a": 1})
    engine.start("twice", "one", {"n": 2})
    state = engine.state("one")
    assert state is not None
    assert (state.status, state.output) == ("RUNNING", None)
