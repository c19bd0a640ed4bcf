"""The checker has teeth: production code broken on purpose is caught, each mutation within a few seeds."""

from __future__ import annotations

import pytest

from sayso.simulator.broken_transactions import TRANSACTION_MUTATIONS
from sayso.simulator.mutations import MUTATIONS
from sayso.simulator.run import Run, simulate

SEEDS_MAX = 12
EVENTS = 300
FIRST_SEED = {"ack-before-commit": 4, "late-decision-counts": 5}
"""Where it shows at once; for the others that is the first seed."""


NOT_HERE = {"timer-believed", "no-reconciler", "restarted-without-memory", *TRANSACTION_MUTATIONS}
"""docs/simulation.md says why."""


@pytest.mark.parametrize("name", [name for name in MUTATIONS if name not in NOT_HERE])
def test_a_mutation_is_caught(name: str) -> None:
    first = FIRST_SEED.get(name, 1)
    assert any(simulate(Run(seed, EVENTS, mutation=name)).findings for seed in range(first, first + SEEDS_MAX))
