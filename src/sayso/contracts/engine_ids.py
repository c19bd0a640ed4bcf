"""Ids of the engine's instances: a case has one at a time, and another one after each that was beyond help (ADR 0006).

In: the case's own id and the number of the run. Out: the instance's id. The first run has the case's own id.
"""

from __future__ import annotations

import re

_RUN = re.compile(r"^(.+-[0-9a-f]{6})_(\d+)$")
"""The ledger's own ids end with its id; whoever starts a case through Dapr's own API may choose any other."""


def engine_id(case: str, run: int) -> str:
    """The instance of this run: `purchase_order-PO-1-1-3f9a2c`, then `…_2` and so on."""
    return case if run <= 1 else f"{case}_{run}"


def engine_ids(case: str, run: int) -> list[str]:
    """All instances that a case has had."""
    return [engine_id(case, number) for number in range(1, run + 1)]


def is_run_of(engine_instance: str, case: str) -> bool:
    """Whether this instance may be one of that case."""
    return engine_instance == case or re.fullmatch(rf"{re.escape(case)}_\d+", engine_instance) is not None


def run_of_engine_id(engine_instance: str) -> int:
    """Which run of its case it is."""
    found = _RUN.match(engine_instance)
    return int(found[2]) if found else 1


def case_of_engine_id(engine_instance: str) -> str:
    """The case of an instance."""
    found = _RUN.match(engine_instance)
    return found[1] if found else engine_instance
