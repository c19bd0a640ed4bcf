"""The benchmark's sums: percentiles, spreads, the ratio, and what lies between two readings."""

from __future__ import annotations

import pytest
from benchmarks import report
from benchmarks.figures import percentile, spread
from benchmarks.measure import Flow, Round, Wake
from benchmarks.meter import BENCH, Reading, usage


def round_of(contestant: str, cases_per_second: float) -> Round:
    flow = Flow(100, 200.0, 150.0, cases_per_second, 0.1, {"daprd": 5.0, BENCH: 0.2}, 5.0, 1.0)
    return Round(contestant, 0.5, flow, Wake(50, 40.0, 10.0, 20.0, 30.0, 2.0), {"daprd": 80.0})


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (95, 95), (100, 100), (1, 1)])
def test_a_percentile_is_a_value_that_was_measured(percent: float, expected: float) -> None:
    assert percentile(range(100, 0, -1), percent) == expected


def test_the_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 50) == percentile([7.0], 95) == 7.0


def test_a_spread_shows_median_lowest_and_highest() -> None:
    assert spread([3.0, 1.0, 2.0]) == "2.0 (1.0 to 3.0)"
    assert spread([2.0]) == "2.0"


def test_the_ratio_is_sayso_over_by_hand_by_their_medians() -> None:
    rounds = [round_of("byhand", 100), round_of("sayso", 90), round_of("sayso", 70), round_of("byhand", 60)]
    assert report.ratio(rounds) == pytest.approx(1.0)


def test_there_is_no_ratio_of_one_alone() -> None:
    assert report.ratio([round_of("sayso", 90)]) is None
    assert report.summary([round_of("sayso", 90)])["ratio"] is None


def test_the_table_has_both_side_by_side_and_each_process() -> None:
    table = "\n".join(report.comparison([round_of("byhand", 80), round_of("sayso", 60)]))
    assert "by hand" in table
    assert "Sayso is 0.75 times the by-hand app" in table
    assert table.count("  daprd ") == 2


def test_what_others_used_is_what_the_machine_used_beyond_us() -> None:
    before = Reading(100.0, {"daprd": 1.0, BENCH: 0.5}, {"daprd": 10, BENCH: 10}, 50.0)
    after = Reading(110.0, {"daprd": 3.0, BENCH: 1.5}, {"daprd": 10, BENCH: 10}, 58.0)
    used = usage(before, after)
    assert used.cpu_seconds == {"daprd": 2.0, BENCH: 1.0}
    assert used.stack_seconds == 2.0
    assert used.others_percent > 0
