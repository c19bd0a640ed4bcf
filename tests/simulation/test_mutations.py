"""The checker has teeth: production code broken on purpose is caught, each mutation by the finding that names what it breaks."""

from __future__ import annotations

from unittest.mock import patch

import pytest

import sayso.ledger.routing
from sayso.simulator.broken_transactions import TRANSACTION_MUTATIONS
from sayso.simulator.catches import CATCHES
from sayso.simulator.mutations import MUTATIONS
from sayso.simulator.run import Run, simulate


def test_every_mutation_has_a_seed_that_shows_it() -> None:
    assert CATCHES.keys() == MUTATIONS.keys()


@pytest.mark.parametrize("name", [name for name in CATCHES if name not in TRANSACTION_MUTATIONS])
def test_a_mutation_is_caught(name: str) -> None:
    catch = CATCHES[name]
    findings = simulate(catch.run(name)).findings
    assert [str(finding) for finding in findings if finding.rule == "internal error"] == []  # the mutation itself fits the code
    assert catch.rule in {finding.rule for finding in findings}


def test_a_decision_beside_its_deadline_counts_however_late_the_engine_hears_of_it() -> None:
    assert simulate(CATCHES["timer-believed"].run(None)).findings == ()


def test_what_fails_for_ever_is_stopped_and_says_why() -> None:
    with patch.object(sayso.ledger.routing, "_start", side_effect=TypeError("it takes another argument")):
        findings = simulate(Run(1, 40)).findings
    rules = {finding.rule: finding.text for finding in reversed(findings)}
    assert rules["internal error"] == "TypeError: it takes another argument"
    assert "events received (internal error, will be tried again: TypeError" in rules["never at rest"]
