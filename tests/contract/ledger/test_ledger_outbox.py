"""The outbox: what Sayso publishes waits there, in order, always under the same id."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from ledger_world import World

from sayso.ledger import Ledger
from sayso.ledger.outbox import (
    ORIGINAL_BYTES_MAX,
    lease_notices,
    lease_outgoing,
    mark_published,
    mark_sent,
    notify,
    postpone,
    publish,
)
from sayso.ledger.schema import notices, outbox


def queue(ledger: Ledger, *event_ids: str, topic: str = "outcomes") -> None:
    for event_id in event_ids:
        ledger.transact(
            partial(publish, event_id=event_id, topic=topic, event_type="t.v1", key="k", data={"id": event_id}, instance_id=None)
        )


def lease(ledger: Ledger, limit: int = 100, lease_ms: int = 20_000) -> list[str]:
    return [row.event_id for row in ledger.transact(partial(lease_outgoing, lease_ms=lease_ms, limit=limit))]


def test_the_same_event_id_is_one_row_and_its_first_content_stays(world: World) -> None:
    queue(world.ledger, "one")
    world.ledger.transact(partial(publish, event_id="one", topic="other", event_type="t.v1", key="k", data={"id": "another"}))
    (row,) = world.rows(outbox)
    assert (row.topic, json.loads(row.body)["data"], json.loads(row.body)["id"]) == ("outcomes", {"id": "one"}, "one")


def test_rows_are_leased_oldest_first_and_only_once(world: World) -> None:
    queue(world.ledger, *"abcde")
    assert lease(world.ledger, limit=3) == ["a", "b", "c"]
    assert lease(world.ledger) == ["d", "e"]
    assert lease(world.ledger) == []


def test_a_lease_that_ran_out_gives_the_rows_back_in_order_with_the_same_body(world: World) -> None:
    queue(world.ledger, *"abc")
    first = world.ledger.transact(partial(lease_outgoing, lease_ms=1_000, limit=2))
    world.let_time_pass(timedelta(seconds=1))
    again = world.ledger.transact(partial(lease_outgoing, lease_ms=1_000, limit=2))
    assert [(row.event_id, row.body) for row in again] == [(row.event_id, row.body) for row in first]
    assert [row.attempts for row in again] == [2, 2]


def test_published_rows_are_done_and_postponed_ones_come_back_later_with_their_error(world: World) -> None:
    queue(world.ledger, *"abc")
    lease(world.ledger)
    seqs = [row.seq for row in world.rows(outbox)]
    world.ledger.transact(partial(mark_published, seqs=[seqs[0], seqs[2]]))
    late = partial(postpone, table=outbox, seqs=[seqs[1]], delay_ms=60_000, error="x" * 1_000)
    world.ledger.transact(late)
    rows = world.rows(outbox)
    assert [row.published_at_ms is not None for row in rows] == [True, False, True]
    assert (rows[1].last_error, rows[0].due_at_ms) == ("x" * 500, None)
    assert lease(world.ledger) == []
    world.let_time_pass(timedelta(minutes=1))
    assert lease(world.ledger) == ["b"]
    world.ledger.transact(partial(mark_published, seqs=[seqs[1]]))
    assert world.rows(outbox)[1].last_error is None


def test_notices_are_leased_sent_and_postponed_in_the_same_way(world: World) -> None:
    def put(notice_id: str) -> None:
        words: Any = {"instance_id": "i", "name": "n", "recipient": "r", "title": "t", "body": "b"}
        world.ledger.transact(partial(notify, notice_id=notice_id, **words))

    for notice_id in ("a", "b", "a"):
        put(notice_id)
    taken = world.ledger.transact(partial(lease_notices, lease_ms=60_000, limit=10))
    assert [(notice.notice_id, notice.attempts) for notice in taken] == [("a", 1), ("b", 1)]
    world.ledger.transact(partial(mark_sent, seqs=[taken[0].seq]))
    world.ledger.transact(partial(postpone, table=notices, seqs=[taken[1].seq], delay_ms=0, error="mail server is down"))
    again = world.ledger.transact(partial(lease_notices, lease_ms=60_000, limit=10))
    assert [(notice.notice_id, notice.attempts) for notice in again] == [("b", 2)]
    assert [row.sent_at_ms is not None for row in world.rows(notices)] == [True, False]


@pytest.mark.parametrize("size", [0, 1_000, ORIGINAL_BYTES_MAX, ORIGINAL_BYTES_MAX + 1])
def test_a_dead_letter_carries_its_original_unless_that_would_not_pass_the_sidecar(world: World, size: int) -> None:
    world.receive("purchases", b"\xff" * size)
    world.route()
    (letter,) = world.dead_letters
    assert letter["original_bytes"] == size
    if size <= ORIGINAL_BYTES_MAX:
        assert base64.b64decode(letter["original"]) == b"\xff" * size
    else:
        assert letter["original"] is None
