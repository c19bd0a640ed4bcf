"""The watch ends a sidecar that has forgotten its worker, and no other."""

from __future__ import annotations

import pytest

from sayso_worker.sidecar_watch import HANGING_SECONDS, WEDGED_SECONDS, SidecarWatch


class SidecarInMemory:
    """Counts as many workers as it is told, and how often it was asked to end."""

    def __init__(self, counted: int | None) -> None:
        self.counted = counted
        self.answers: bool | None = True
        self.asked = 0

    def connected_workers(self) -> int | None:
        return self.counted

    def engine_answers(self) -> bool | None:
        return self.answers

    def shut_down(self) -> None:
        self.asked += 1


class World:
    """A watch, looked at every two seconds of a clock of its own."""

    def __init__(self, *, streaming: bool, counted: int | None) -> None:
        self.now = 100.0
        self.streaming = streaming
        self.sidecar = SidecarInMemory(counted)
        self.watch = SidecarWatch(lambda: self.streaming, self.sidecar, lambda: self.now)

    def pass_seconds(self, seconds: float) -> int:
        end = self.now + seconds
        while self.now < end:
            assert self.watch.work() is False
            self.now += 2
        return self.sidecar.asked


def test_a_sidecar_that_does_not_count_our_stream_for_long_is_asked_to_end_once() -> None:
    world = World(streaming=True, counted=0)
    assert world.pass_seconds(WEDGED_SECONDS) == 0
    assert world.pass_seconds(4) == 1
    world.sidecar.counted = 1
    assert world.pass_seconds(60) == 1


def test_a_sidecar_that_stays_wedged_is_asked_again() -> None:
    assert World(streaming=True, counted=0).pass_seconds(WEDGED_SECONDS * 4) >= 2


def test_a_sidecar_that_counts_a_worker_is_left_alone() -> None:
    assert World(streaming=True, counted=2).pass_seconds(120) == 0


def test_a_sidecar_that_is_away_is_left_alone() -> None:
    assert World(streaming=True, counted=None).pass_seconds(120) == 0


def test_a_worker_that_is_still_connecting_leaves_the_sidecar_alone() -> None:
    assert World(streaming=False, counted=0).pass_seconds(120) == 0


def test_the_time_begins_anew_after_a_moment_of_health() -> None:
    world = World(streaming=True, counted=0)
    world.pass_seconds(WEDGED_SECONDS - 2)
    world.sidecar.counted = 1
    world.pass_seconds(2)
    world.sidecar.counted = 0
    assert world.pass_seconds(WEDGED_SECONDS) == 0


def test_a_sidecar_whose_engine_hangs_for_long_is_asked_to_end_once() -> None:
    world = World(streaming=True, counted=1)
    world.pass_seconds(20)
    world.sidecar.answers = False
    assert world.pass_seconds(HANGING_SECONDS) == 0
    assert world.pass_seconds(12) == 1
    world.sidecar.answers = True
    assert world.pass_seconds(120) == 1


@pytest.mark.parametrize("answers", [True, None])
def test_one_call_that_hangs_is_not_a_wedge(answers: bool | None) -> None:
    world = World(streaming=True, counted=1)
    for _ in range(5):
        world.sidecar.answers = False
        world.pass_seconds(HANGING_SECONDS - 12)
        world.sidecar.answers = answers
        assert world.pass_seconds(12) == 0


def test_an_engine_that_hangs_while_placement_is_away_is_left_alone() -> None:
    """Then the sidecar says that it has no placement, which counts as no answer; another daprd would hang just so."""
    world = World(streaming=True, counted=1)
    world.sidecar.answers = False
    world.pass_seconds(HANGING_SECONDS - 4)
    world.sidecar.counted = None
    assert world.pass_seconds(300) == 0
