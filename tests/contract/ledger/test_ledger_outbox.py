"""The outbox: what Sayso publishes waits there, in order, always under the same id."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from functools import partial
from typing import Any, cast

import pytest
from ledger_world import World, cloudevent

from sayso.contracts.cloudevent import in_utc, parse_event
from sayso.contracts.dead_letter import ORIGINAL_BYTES_MAX
from sayso.ledger import Ledger
from sayso.ledger.outbox import (
    lease_notices,
    lease_outgoing,
    mark_published,
    mark_sent,
    moment,
    notify,
    postpone,
    publish,
)
from sayso.ledger.schema import notices, outbox
from sayso.notices.sender import NoticeSender
from sayso.settings import DispatcherSettings
from sayso_worker.activities.send_notices import NoticeLane


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
    (letter,) = world.whole_dead_letters
    assert letter["type"] == "sayso.event.dead.v1"
    if size <= ORIGINAL_BYTES_MAX:
        assert base64.b64decode(letter["data_base64"]) == b"\xff" * size
    else:
        said = f"the original has {size} bytes, too many to be carried; the ledger has it"
        assert (letter["data"], "data_base64" in letter) == ({"left_out": said}, False)


def test_a_dead_event_is_the_event_as_it_came_with_what_became_of_it(world: World) -> None:
    text = '{ "specversion":"1.0", "id":"e-1", "source":"/shop", "type":"t",\n "data": {"n": 1.10, "big": 12345678901234567890.5}'
    world.receive("purchases", f"{text} }} \n".encode())
    world.route()
    (row,), (sent,) = world.events, world.rows(outbox)
    kept, _, marks = sent.body.decode().partition(',"saysoletter"')
    assert kept == f"{text} ", "its text, to the last digit and blank"
    (letter,) = world.whole_dead_letters
    assert parse_event(sent.body).id == "e-1", "it is a CloudEvent still"
    assert {name: value for name, value in letter.items() if name.startswith("sayso")} == {
        "saysoletter": sent.event_id,
        "saysostate": "unmatched",
        "saysoreason": row.reason,
        "saysotopic": "purchases",
        "saysodigest": row.digest,
        "saysoseq": row.seq,
        "saysoattempts": 1,
        "saysofirsttime": in_utc(moment(row.received_at_ms)),
        "saysolasttime": in_utc(moment(row.last_seen_at_ms)),
    }
    assert marks
    assert (sent.event_id, sent.type) == (f"dead:{row.seq}-{row.received_at_ms}:unmatched:1", "sayso.event.dead.v1")


def test_a_dead_letter_that_somebody_sends_back_to_us_is_carried_and_not_marked_twice(world: World) -> None:
    world.receive("purchases", cloudevent("com.acme.nobody.v1", {}, "e-1"))
    world.route()
    first = bytes(world.rows(outbox)[0].body)
    world.receive("tasks", first.replace(b"e-1", b"e-2"))
    world.route()
    letter = world.whole_dead_letters[1]
    assert base64.b64decode(letter["data_base64"]) == first.replace(b"e-1", b"e-2")
    assert (letter["saysotopic"], letter["saysostate"]) == ("tasks", "unmatched")


def test_what_may_not_stand_in_an_attribute_is_blanked(world: World) -> None:
    world.send("purchases", "com.acme.\x1b[2J.v1", {})
    world.receive("purchases", b'{"specversion": "1.0", "id": "a", "source": "/s", "type": "t\xc2\x85"}')
    world.route()
    for row in world.rows(outbox):
        assert not any(ord(character) < 0x20 for character in json.loads(row.body)["saysoreason"])


class Post:
    """Sends all notices but one, on which it fails as nobody expected."""

    def __init__(self, broken: str) -> None:
        self.broken = broken
        self.sent: list[str] = []

    def send(self, recipient: str, title: str, body: str, notice_id: str) -> None:
        if notice_id == self.broken:
            raise KeyError("a bug")
        self.sent.append(notice_id)


def test_a_notice_that_fails_unexpectedly_takes_no_other_with_it(world: World) -> None:
    for key in ("PO-1", "PO-2", "PO-3"):
        world.buy(key)
    first, second, third = (row.notice_id for row in world.rows(notices))
    post = Post(broken=second)
    lane = NoticeLane(world.ledger, cast("NoticeSender", post), DispatcherSettings())
    lane.work()
    lane.work()
    assert post.sent == [first, third]
    assert [(row.sent_at_ms is not None, row.last_error) for row in world.rows(notices)] == [
        (True, None),
        (False, "internal error: KeyError: 'a bug'"),
        (True, None),
    ]
