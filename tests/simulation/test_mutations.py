"""The checker has teeth: production code broken on purpose is caught, each mutation by the finding that names what it breaks."""

from __future__ import annotations

from unittest.mock import patch

import pytest

import sayso.ledger.routing
from sayso.simulator.broken_transactions import TRANSACTION_MUTATIONS
from sayso.simulator.mutations import MUTATIONS
from sayso.simulator.run import Run, simulate

EVENTS = 300
CAUGHT = {
    "ack-before-commit": (4, "lost"),
    "no-dedupe": (1, "row twice"),
    "no-conflict": (1, "lost"),
    "late-swallowed": (1, "wrong state"),
    "unclaimed-forgotten": (1, "no final state"),
    "held-forgotten": (1, "wrong state"),
    "no-dead-letter": (1, "lost dead letter"),
    "ended-case-again": (1, "opened twice"),
    "marked-unpublished": (1, "lost publication"),
    "new-id-each-time": (1, "published twice"),
    "new-key-each-time": (1, "effect twice"),
    "record-before-effect": (1, "lost effect"),
    "requester-decides": (1, "wrong outcome"),
    "any-amount": (1, "wrong outcome"),
    "late-decision-counts": (5, "wrong outcome"),
    "no-reconciler": (11, "case not ended"),
    "restarted-without-memory": (11, "wrong outcome"),
}
"""A seed that shows it at once, and by which rule."""
NOT_HERE = {"timer-believed", *TRANSACTION_MUTATIONS}
"""docs/simulation.md says why."""


def test_every_mutation_is_in_the_table() -> None:
    assert CAUGHT.keys() | NOT_HERE == MUTATIONS.keys()


@pytest.mark.parametrize("name", CAUGHT)
def test_a_mutation_is_caught(name: str) -> None:
    seed, rule = CAUGHT[name]
    findings = simulate(Run(seed, EVENTS, mutation=name)).findings
    assert [str(finding) for finding in findings if finding.rule == "internal error"] == []  # the mutation itself fits the code
    assert rule in {finding.rule for finding in findings}


def test_what_fails_for_ever_is_stopped_and_says_why() -> None:
    with patch.object(sayso.ledger.routing, "_start", side_effect=TypeError("it takes another argument")):
        findings = simulate(Run(1, 40)).findings
    rules = {finding.rule: finding.text for finding in reversed(findings)}
    assert rules["internal error"] == "TypeError: it takes another argument"
    assert "events received (internal error, will be tried again: TypeError" in rules["never at rest"]
