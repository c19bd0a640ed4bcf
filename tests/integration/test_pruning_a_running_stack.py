"""What is over leaves a running stack, engine included; what comes after that is told as if it were still there (case 25)."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from running_system import RunningSystem
from shop_events import decision, fresh, payment, purchase
from sqlalchemy import func, select
from stack_pairs import system_on
from waiting import eventually

from sayso.errors import TransientError
from sayso.ledger.schema import audit, audit_chain, engine_purges, notices, outbox, tombstones

pytestmark = pytest.mark.stack

COMMAND_SECONDS = 120.0


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A stack of its own: pruning takes away what other tests may still look at."""
    with system_on(("valkey", "sqlite"), tmp_path_factory, SAYSO_AUDIT__ANCHOR_INTERVAL="PT1S") as running:
        yield running


def sayso(system: RunningSystem, *arguments: str) -> Any:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SAYSO_", "DAPR_"))}
    environment = {**clean, "SAYSO_STATE_DIR": str(system.state.state_dir)}
    command = [sys.executable, "-m", "sayso.cli.main", *arguments, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def complete(system: RunningSystem, order: str) -> tuple[list[dict[str, Any]], str]:
    """An order from its request to its end: its events and its instance."""
    sent = [purchase(order), decision(order_id=order), payment(order)]
    system.send(*sent)
    closed = system.closed(order)
    return sent, closed.instance_id


def everything_is_out(system: RunningSystem) -> bool:
    pending = [(outbox, outbox.c.published_at_ms), (notices, notices.c.sent_at_ms)]
    counts = [select(func.count()).select_from(table).where(column.is_(None)) for table, column in pending]
    return all(system.ledger.read(lambda tx, query=query: tx.all(query))[0][0] == 0 for query in counts)


def count(system: RunningSystem, table: Any) -> int:
    return int(system.ledger.read(lambda tx: tx.all(select(func.count()).select_from(table)))[0][0])


def test_an_event_after_the_end_and_after_a_purge_of_the_engine_alone_is_told_by_the_ledger(own: RunningSystem) -> None:
    order = fresh("PO")
    sent, instance_id = complete(own, order)
    own.engine.purge(instance_id)
    eventually(lambda: own.engine.state(instance_id) is None, 20, "the engine has forgotten it")
    own.engine.purge(instance_id)  # one that is not there is fine

    late, again = payment(order), purchase(order)
    own.send(late, again, *sent)
    assert own.settled(late, "late").instance_id == instance_id
    assert own.settled(again, "refused").instance_id == instance_id
    for event in sent:
        eventually(lambda event=event: own.row(event["id"]).sightings == 2, 20, "counted once more")
    assert own.engine.state(instance_id) is None
    assert own.effects(order) == [("orders.placed", 1)]


def test_the_engine_does_not_forget_what_runs(own: RunningSystem) -> None:
    order = fresh("PO")
    case = own.open_purchase(order)
    with contextlib.suppress(TransientError):  # refused, or without effect
        own.engine.purge(case.instance_id)
    assert own.engine_status(case.instance_id) == "RUNNING"
    own.approve_purchase(order)
    assert own.pay_purchase(order).outcome == "completed"


def test_pruning_beside_a_running_stack_and_what_comes_after_it(own: RunningSystem) -> None:
    order, waiting = fresh("PO"), fresh("PO")
    sent, instance_id = complete(own, order)
    open_case = own.open_purchase(waiting)
    eventually(lambda: everything_is_out(own), 30, "everything is published and sent")

    told = sayso(own, "ledger", "prune", "--older-than", "PT0S", "--as", "alice")["pruned"]
    assert told["cases"] >= 1
    assert (told["kept"], told["purged"]) == (0, told["cases"])
    assert (own.case(order), own.engine.state(instance_id), count(own, engine_purges)) == (None, None, 0)

    stones = count(own, tombstones)
    late, again = payment(order), purchase(order)
    contradiction = purchase(order, event_id=sent[0]["id"], cost="1.00")
    own.send(*sent, late, again, contradiction)
    assert own.settled(late, "late").instance_id == instance_id
    assert own.settled(again, "refused").instance_id == instance_id
    assert own.settled(contradiction, "conflict")
    for event in sent[1:]:
        eventually(lambda event=event: own.rows(event["id"]) == [], 20, "the repetition has become a sighting")
    assert count(own, tombstones) == stones
    eventually(lambda: [one for one in own.messages_about("payment-commands", order) if "refund" in one["type"]], 20, "its refund")
    assert own.effects(order) == [("orders.placed", 1)]
    assert own.case(order) is None

    own.approve_purchase(waiting)
    assert own.pay_purchase(waiting).instance_id == open_case.instance_id
    assert own.effects(waiting) == [("orders.placed", 1)]


def test_the_audit_chain_of_the_running_stack_is_whole_and_anchored(own: RunningSystem) -> None:
    complete(own, fresh("PO"))

    def sealed() -> bool:
        unsealed = select(func.count()).select_from(audit).where(audit.c.number.is_(None))
        return own.ledger.read(lambda tx: tx.all(unsealed))[0][0] == 0

    eventually(sealed, 20, "every entry is sealed")
    (head,) = own.ledger.read(lambda tx: tx.all(select(audit_chain)))
    anchors = eventually(lambda: own.messages("audit-anchors"), 20, "an anchor on the topic")
    assert anchors[-1]["data"]["number"] <= head.number
    verdict = sayso(own, "audit", "verify")
    assert (verdict["findings"], verdict["unsealed"]) == ([], 0)
    assert verdict["sealed"] >= head.number > 0
    assert verdict["anchors"] > 0
