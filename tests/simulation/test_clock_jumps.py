"""The clock of the simulated ledger is set ahead and back by up to ten minutes, again and again: nothing is lost, twice or wrong."""

from __future__ import annotations

import dataclasses
import random

import pytest

from sayso.simulator import world
from sayso.simulator.run import Run, simulate
from sayso.simulator.scenarios import Scenario
from sayso.simulator.scheduler import Weather

JUMP = 0.5


@pytest.mark.parametrize("seed", [2, 7])
def test_nothing_is_lost_twice_or_wrong_under_a_clock_that_jumps_all_the_time(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    jumps: list[int] = []
    drawn, jump = world.drawn_weather, world.World._jump

    def restless(rng: random.Random, scenario: Scenario) -> Weather:
        return dataclasses.replace(drawn(rng, scenario), jump=JUMP)

    def noted(self: world.World) -> None:
        before = self.clock.now_ms
        jump(self)
        jumps.append(self.clock.now_ms - before)

    monkeypatch.setattr(world, "drawn_weather", restless)
    monkeypatch.setattr(world.World, "_jump", noted)
    assert simulate(Run(seed, 300)).findings == ()
    assert {-600_000, 600_000} <= set(jumps)
