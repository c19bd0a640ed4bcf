"""Forged decisions through the broker of a running stack: none gets in, none stalls a case."""

from __future__ import annotations

import itertools
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from running_system import RunningSystem
from shop_events import decision, fresh
from sqlalchemy import func, select
from stack_pairs import MAIN_PAIRS, system_on
from waiting import eventually

from sayso.contracts.signed import request_hash
from sayso.ledger.schema import events
from sayso.settings import Settings
from sayso.testing.forging.company import Company
from sayso.testing.forging.forger import Forger
from sayso.testing.forging.writer import Case
from sayso.testing.stack import PROJECT

pytestmark = pytest.mark.stack
COUNT = 1_000
SECONDS = 120.0
AT_REST = frozenset({"rejected", "refused", "unmatched", "conflict"})


@pytest.fixture(scope="module")
def company() -> Company:
    return Company()


@pytest.fixture(scope="module")
def guarded(company: Company, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """A stack that knows the company's senders, and takes nothing that is raised past the topics."""
    config = tmp_path_factory.mktemp("guarded") / "config"
    shutil.copytree(PROJECT / "config", config)
    company.write_senders(config)
    more = {"SAYSO_CONFIG_DIR": str(config), "SAYSO_ACCEPT_RAW_RAISE": "false"}
    with system_on(MAIN_PAIRS[0], tmp_path_factory, **more) as running:
        yield running


def forger_about(company: Company, system: RunningSystem, order: str) -> Forger:
    """Who forges decisions about the open case of this order."""
    case = system.case(order)
    assert case is not None
    asked = request_hash(json.loads(case.input)["request"])
    audience, now = Settings().signing.audience, datetime.now(UTC).timestamp()
    meant = Case(key=order, instance=case.instance_id, request_hash=asked, audience=audience, seconds=now)
    return Forger(company, random.Random(5), meant)


def test_of_a_thousand_forged_decisions_none_gets_in_and_the_case_goes_on(guarded: RunningSystem, company: Company) -> None:
    order = fresh("PO")
    case = guarded.open_purchase(order)
    forger = forger_about(company, guarded, order)
    forgeries = (body for name, body in forger.forgeries(2 * COUNT) if name != "one bit of the whole event changed")
    for body in itertools.islice(forgeries, COUNT):
        guarded.broker.send("approvals", body, order)
    judged = AT_REST | {"delivered"}  # what the gate refuses is marked with the case's next step

    def all_judged() -> bool:
        states = _states(guarded)
        assert not {"consumed", "held", "started"} & states.keys(), states
        return states.total() >= COUNT and not states.keys() - judged

    eventually(all_judged, SECONDS, "all have been judged")
    row = guarded.waiting_for("approval", order)
    assert (row.instance_id, row.outcome) == (case.instance_id, None)
    honest = forger.signed(forger.honest())
    guarded.send(honest)
    guarded.settled(honest, "consumed")
    guarded.waiting_for("payment", order)
    assert _states(guarded)["consumed"] == 1
    assert _states(guarded).keys() <= AT_REST | {"consumed"}


def test_a_decision_without_a_signature_is_rejected_with_what_to_do(guarded: RunningSystem) -> None:
    order = fresh("PO")
    guarded.open_purchase(order)
    unsigned = decision(order_id=order)
    guarded.send_unsigned(unsigned)
    row = guarded.settled(unsigned, "rejected")
    assert "docs/signing.md" in row.reason
    assert row.identity is None, "its id is not claimed"
    eventually(lambda: guarded.dead_letters(seq=row.seq), SECONDS, "its dead letter")
    guarded.approve_purchase(order)


def test_a_signature_passes_through_daprd(guarded: RunningSystem) -> None:
    """It parses what an app publishes, adds to it, and writes it anew."""
    order = fresh("PO")
    guarded.open_purchase(order)
    sent = decision(order_id=order, reason="größer als 1.50")
    guarded.publish(sent)
    guarded.settled(sent, "consumed")


def test_with_raw_raises_off_dapr_itself_decides_nothing(guarded: RunningSystem) -> None:
    order = fresh("PO")
    case = guarded.open_purchase(order)
    guarded.engine.raise_event(case.instance_id, "approval_received", {"approved": True, "approver": "bob"})
    guarded.approve_purchase(order, by="carol")
    task = guarded.task(case.instance_id)
    assert task is not None
    assert task.decided_by == "carol"


def _states(system: RunningSystem) -> Counter[str]:
    """How many events there are on `approvals`, by state."""
    query = select(events.c.state, func.count()).where(events.c.topic == "approvals").group_by(events.c.state)
    return Counter({row[0]: row[1] for row in system.ledger.read(lambda tx: tx.all(query))})
