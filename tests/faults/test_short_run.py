"""Short fault runs: a minute of what `make faults` does for half an hour, on each broker."""

from __future__ import annotations

from pathlib import Path

import pytest

from sayso.testing.fault_run.report import markdown
from sayso.testing.fault_run.run import Result, Terms, fault_run
from sayso.testing.fault_run.strikes import ROLLING, Strike

pytestmark = pytest.mark.stack

SECOND_REPLICA = tuple(f"{name}-2" for name in ROLLING)
TWO_OF_EVERYTHING = (
    Strike("rolling restart", (*ROLLING, *SECOND_REPLICA)),
    Strike(
        "pause", SECOND_REPLICA, 25.0
    ),  # longer than leases and Kafka's session: the first replica takes all over, then the second wakes
    Strike("cut", ("daprd-kafka",), 20.0),  # a long partition, then catch-up
    Strike("kill", ("daprd-2",)),
    Strike("kill", ("postgresql",)),
    Strike("kill", ("worker",)),
    Strike("kill", ("kafka",)),
    Strike("kill", ("subscribers-2",)),
)
"""Each strike but the last two makes Kafka share out its partitions anew while messages are being handled."""


def well(terms: Terms) -> Result:
    said: list[str] = []
    result = fault_run(terms, said.append)
    assert result.is_well, "\n".join([*said, markdown(result)])
    assert len(result.observed.cases) > 20
    return result


def test_on_valkey_nothing_is_lost_or_done_twice_whatever_is_killed_paused_or_cut_off(tmp_path: Path) -> None:
    result = well(Terms("valkey", "sqlite", 45, 3, tmp_path, stories_a_second=1.5, strike_every_seconds=6))
    assert sum(result.tally.killed.values()) >= 3, result.tally


def test_with_two_of_everything_on_kafka_nothing_is_lost_or_done_twice_and_the_order_of_a_key_is_kept(tmp_path: Path) -> None:
    terms = Terms(
        "kafka",
        "postgresql",
        60,
        5,
        tmp_path,
        stories_a_second=1.5,
        strike_every_seconds=5,
        replicas=2,
        script=TWO_OF_EVERYTHING,
    )
    result = well(terms)
    assert result.tally.strikes == {"rolling restart": 1, "pause": 1, "cut": 1, "kill": 5}
