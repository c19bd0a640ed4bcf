"""How long a policy of 200 rules takes to plan a request: `python -m benchmarks.planning`. Prints; asserts nothing about time."""

from __future__ import annotations

import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from sayso.directory import load_directory
from sayso.policy.loading import load_policy
from sayso.policy.planning import plan
from sayso.settings import Settings

RULES = 200
PLANS = 500
REQUEST = {"order_id": "PO-1", "cost": "9999999.99", "product": "chair", "quantity": 2, "currency": "EUR", "requester": "alice"}
STAGES = (
    "[{name: manager, approvers: {manager_of: requester}, deadline: P2D}, {name: finance, approvers: {group: finance}, deadline: P3D}]"
)
WHEN = 'request.cost < {limit}.5 && "managers" in requester.groups && request.currency == "EUR" || request.cost < {limit}'


def main() -> None:
    """Load the policy, plan the request that only the last rule takes, and print the times."""
    rules = [f"  - {{name: r{n}, when: '{WHEN.format(limit=n)}', stages: {STAGES}}}" for n in range(1, RULES)]
    rules.append(f"  - {{name: rest, stages: {STAGES}}}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.yaml"
        path.write_text(
            "\n".join(["name: many", "version: 1", "workflow: purchase_order_workflow", "rules:", *rules]), encoding="utf-8"
        )
        directory = load_directory(Path("config/directory.yaml"))
        began = time.perf_counter()
        policy = load_policy(path, Settings(), directory, {})
        print(f"{RULES} rules are read, compiled and tried out in {(time.perf_counter() - began) * 1000:.0f} ms")
    taken = []
    for _ in range(PLANS):
        began = time.perf_counter()
        found = plan(policy, REQUEST, directory, datetime.now(UTC))
        taken.append((time.perf_counter() - began) * 1000)
    assert found.rule == "rest"
    taken.sort()
    print(f"a plan takes {statistics.median(taken):.2f} ms (median of {PLANS}), 99 of 100 at most {taken[PLANS * 99 // 100]:.2f} ms")


if __name__ == "__main__":
    main()
