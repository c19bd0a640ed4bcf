"""A message that got its time before a deadline, and is committed after the timer has fired: its case waits for it.

The intake reads its clock, and then nothing happens for as long as you like: a process is paused, a disk is slow.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from ledger_world import DECISION, World, cloudevent
from meetings import Table, through
from test_case_meetings import DECIDED, open_case
from two_connections import Acts

from sayso.contracts.workflow_io import DeadlineInput
from sayso.ledger import Ledger
from sayso.ledger.intake import receive
from sayso.ledger.outbox import moment
from sayso.ledger.steps import confirm_deadline

BEFORE_ITS_ROW, BEFORE_ITS_COMMIT = 0, 1


def taking_in(ledger: Ledger) -> None:
    """As the handler does."""
    ledger.transact(partial(receive, topic="approvals", original=cloudevent(DECISION, DECIDED)), in_sight=True)


def asking(table: Table, after: timedelta) -> Acts:
    """Whether a deadline has passed that was so long after the intake's clock was read."""
    ref = table.world.ref

    def ask(side: World) -> int:
        deadline = moment(side.ledger.read(lambda tx: tx.now_ms)) + after
        asked = DeadlineInput(case=ref, deadline=deadline, waited_for=["approval_received"])
        return int(side.ledger.transact(partial(confirm_deadline, asked=asked))["pending"])

    return through(table.world, ask)


@pytest.mark.parametrize("stops_at", [BEFORE_ITS_ROW, BEFORE_ITS_COMMIT])
def test_a_deadline_waits_for_a_message_that_is_just_being_taken_in(table: Table, stops_at: int) -> None:
    open_case(table.world)
    outcome = table.connections.play(taking_in, asking(table, timedelta(0)), stops_at, None)
    assert outcome.first_stopped
    assert outcome.answers == (None, 1)
    assert table.world.states == ["started", "received"]


def test_one_that_began_after_the_deadline_is_not_waited_for(table: Table) -> None:
    open_case(table.world)
    outcome = table.connections.play(taking_in, asking(table, timedelta(seconds=-2)), BEFORE_ITS_COMMIT, None)
    assert outcome.answers == (None, 0)


def test_without_its_mark_the_message_would_be_missed(table: Table) -> None:
    open_case(table.world)
    table.connections.rewrite(lambda statement: statement.replace("pg_advisory_xact_lock_shared", "greatest"))
    outcome = table.connections.play(taking_in, asking(table, timedelta(0)), BEFORE_ITS_COMMIT, None)
    assert outcome.answers == (None, 0)
