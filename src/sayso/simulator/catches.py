"""Which seed shows each mutation, and by which rule of the checker: what the tests and `make proof` run.

In: the name of a mutation. Out: the run that shows it, the rule that names what it breaks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from sayso.simulator.run import Run
from sayso.simulator.scenarios import USUAL


@dataclass(frozen=True)
class Catch:
    """The seed breaks the rule, and without the mutation none."""

    seed: int
    rule: str
    events: int = 300
    ledger: str = "memory"
    scenario: str = USUAL

    def run(self, mutation: str | None, ledger_url: str | None = None) -> Run:
        """The run, broken or not."""
        return replace(Run(self.seed, self.events, self.ledger, mutation, ledger_url=ledger_url), scenario=self.scenario)


def _where_transactions_meet(seed: int, rule: str) -> Catch:
    return Catch(seed, rule, events=40, ledger="postgresql", scenario="collisions")


CATCHES: Mapping[str, Catch] = MappingProxyType(
    {
        "ack-before-commit": Catch(0, "lost"),
        "no-dedupe": Catch(1, "row twice"),
        "no-conflict": Catch(1, "lost"),
        "late-swallowed": Catch(1, "wrong state"),
        "unclaimed-forgotten": Catch(1, "no final state"),
        "held-forgotten": Catch(1, "wrong state"),
        "no-dead-letter": Catch(1, "lost dead letter"),
        "ended-case-again": Catch(1, "opened twice"),
        "marked-unpublished": Catch(0, "lost publication"),
        "new-id-each-time": Catch(0, "published twice"),
        "new-key-each-time": Catch(0, "effect twice"),
        "record-before-effect": Catch(0, "lost effect"),
        "requester-decides": Catch(1, "wrong outcome"),
        "any-amount": Catch(2, "wrong outcome"),
        "late-decision-counts": Catch(4, "wrong outcome"),
        "timer-believed": Catch(1, "wrong outcome", events=200, scenario="deadlines"),
        "no-reconciler": Catch(31, "case not ended"),
        "restarted-without-memory": Catch(108, "wrong outcome"),
        "one-of-all": Catch(0, "wrong outcome", scenario="seats"),
        "seats-for-anyone": Catch(0, "wrong outcome", scenario="seats"),
        "no-case-lock": _where_transactions_meet(3, "no final state"),
        "lock-let-go": _where_transactions_meet(9, "no final state"),
        "late-check-outside": _where_transactions_meet(1, "no final state"),
        "settle-unlocked": _where_transactions_meet(1, "wrong outcome"),
        "no-transaction": _where_transactions_meet(3, "invented"),
    }
)
