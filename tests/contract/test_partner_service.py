"""The partner service, as a real process: one effect for one key, whatever happens to callers and to the service."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any

import httpx2
import pytest
from partner_process import PROJECT, PartnerProcess

NUMBERS = count()
UNDOABLE = [
    ("inventory", "order_id", "release", "reserved", "released"),
    ("payments", "order_id", "refund", "charged", "refunded"),
    ("shipments", "order_id", "cancel", "shipped", "cancelled"),
    ("flights", "trip_id", "cancel", "booked", "cancelled"),
    ("hotels", "trip_id", "cancel", "booked", "cancelled"),
    ("cars", "trip_id", "cancel", "booked", "cancelled"),
    ("records", "task_id", "delete", "created", "deleted"),
    ("capacity", "task_id", "release", "reserved", "released"),
    ("notifications", "task_id", "cancel", "sent", "cancelled"),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PartnerProcess]:
    with PartnerProcess(tmp_path_factory.mktemp("partners")) as process:
        yield process


@pytest.fixture
def own(tmp_path: Path) -> Iterator[PartnerProcess]:
    """A service that the test may kill."""
    with PartnerProcess(tmp_path) as process:
        yield process


@pytest.fixture
def subject() -> str:
    """An id that no other test uses; keys are made from it."""
    return f"S-{next(NUMBERS)}"


def order(order_id: str) -> dict[str, Any]:
    return {"order_id": order_id, "product": "bolts", "quantity": 3, "amount": "1250.00", "currency": "EUR"}


@pytest.mark.parametrize(
    ("path", "field", "kind"),
    [
        ("/orders", "order_id", "orders.placed"),
        ("/actions", "request_id", "actions.executed"),
        ("/tasks", "task_id", "tasks.assigned"),
    ],
)
def test_the_same_key_again_gets_the_same_answer_and_no_second_effect(
    shared: PartnerProcess, subject: str, path: str, field: str, kind: str
) -> None:
    body = order(subject) | {field: subject, "more": {"is": ["kept"]}}
    first, second = (shared.post(path, body, key=f"{subject}/step-2") for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json()
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    (effect,) = shared.effects(subject=subject)
    assert (effect["key"], effect["kind"], effect["calls"], effect["body"]) == (f"{subject}/step-2", kind, 2, body)
    assert shared.get("/effects/count", subject=subject, kind=kind).json() == {"effects": 1, "calls": 2}


def test_fifty_threads_with_one_key_make_one_effect(shared: PartnerProcess, subject: str) -> None:
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: shared.post("/orders", order(subject), key=subject), range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert [effect["calls"] for effect in shared.effects(subject=subject)] == [50]


def test_a_key_that_was_used_for_something_else_is_refused(shared: PartnerProcess, subject: str) -> None:
    shared.post("/orders", order(subject), key=subject)
    for answer in (
        shared.post("/orders", order(subject) | {"quantity": 4}, key=subject),
        shared.post(f"/orders/{subject}/cancel", key=subject),
        shared.post("/actions", {"request_id": subject}, key=subject),
    ):
        assert answer.status_code == 422
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["detail"] == f"Idempotency-Key {subject} was used before, with another request"
    assert [effect["calls"] for effect in shared.effects(subject=subject)] == [1]


@pytest.mark.parametrize("path", ["/orders", "/orders/ORD-1/cancel", "/actions", "/tasks"])
@pytest.mark.parametrize("key", [None, "", "k" * 2_001])
def test_a_post_without_a_usable_key_is_refused(shared: PartnerProcess, subject: str, path: str, key: str | None) -> None:
    answer = shared.post(path, order(subject), key=key)
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["detail"]
    assert shared.effects(subject=subject) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"amount": 1250.0}, 'amount: an amount is a decimal string such as "12.50", not a JSON number'),
        ({"amount": "-1"}, "amount: "),
        ({"quantity": 0}, "quantity: "),
        ({"product": None, "currency": "euro"}, "product: Input should be a valid string; currency: "),
    ],
)
def test_a_body_that_is_wrong_is_refused_with_the_reason(
    shared: PartnerProcess, subject: str, change: dict[str, Any], says: str
) -> None:
    answer = shared.post("/orders", order(subject) | change, key=subject)
    assert answer.status_code == 422
    assert says in answer.json()["detail"]
    assert shared.effects(subject=subject) == []


@pytest.mark.parametrize("content", [b"{bad", b"\xff", b'{"order_id": NaN}', b'{"order_id": "\\ud800"}', b"[" * 100_000])
def test_bytes_that_are_no_usable_json_are_refused(shared: PartnerProcess, subject: str, content: bytes) -> None:
    answer = httpx2.post(f"{shared.url}/orders", content=content, headers={"Idempotency-Key": subject}, trust_env=False)
    assert answer.status_code == 400
    assert "not usable JSON" in answer.json()["detail"]


def test_json_that_is_no_object_is_refused(shared: PartnerProcess, subject: str) -> None:
    answer = shared.post("/orders", [1], key=subject)
    assert (answer.status_code, answer.json()["title"]) == (422, "Unprocessable Entity")


def test_cancelling_is_idempotent_also_under_another_key(shared: PartnerProcess, subject: str) -> None:
    shared.post("/orders", order(subject), key=f"{subject} place")
    keys = (f"{subject} undo", f"{subject} undo", f"{subject} undo again")
    answers = [shared.post(f"/orders/{subject}/cancel", {}, key=key).json() for key in keys]
    assert [answer["status"] for answer in answers] == ["cancelled"] * 3
    assert [answer["before"] for answer in answers] == ["placed", "placed", "cancelled"]
    assert [effect["kind"] for effect in shared.effects(subject=subject)] == ["orders.placed", "orders.cancelled"]


def test_an_order_cancelled_before_it_was_placed_is_never_placed(shared: PartnerProcess, subject: str) -> None:
    assert shared.post(f"/orders/{subject}/cancel", {}, key=f"{subject} undo").json()["before"] is None
    late = shared.post("/orders", order(subject), key=f"{subject} place")
    assert (late.status_code, late.json()["status"]) == (200, "cancelled")
    assert shared.post("/orders", order(subject), key=f"{subject} place").json() == late.json()
    assert [effect["kind"] for effect in shared.effects(subject=subject)] == ["orders.cancelled"]


def test_a_cancellation_binds_only_the_case_that_it_belongs_to(shared: PartnerProcess, subject: str) -> None:
    shared.post(f"/orders/{subject}/cancel", {"case": "generation 1"}, key=f"{subject} undo")
    late = shared.post("/orders", order(subject) | {"case": "generation 1"}, key=f"{subject} 1")
    again = shared.post("/orders", order(subject) | {"case": "generation 2"}, key=f"{subject} 2")
    assert (late.json()["status"], again.json()["status"]) == ("cancelled", "placed")


def test_effects_are_listed_in_order_filtered_and_paged(shared: PartnerProcess, subject: str) -> None:
    keys = [f"{subject} place {number}" for number in range(4)]
    for key in keys:
        shared.post("/orders", order(subject) | {"case": key}, key=key)
    shared.post(f"/orders/{subject}/cancel", {"case": keys[0]}, key=f"{subject} undo")
    assert [effect["key"] for effect in shared.effects(subject=subject)] == [*keys, f"{subject} undo"]
    assert [effect["key"] for effect in shared.effects(subject=subject, kind="orders.placed")] == keys
    assert [effect["key"] for effect in shared.effects(key=keys[3])] == [keys[3]]
    page = shared.effects(subject=subject, limit=2)
    assert [effect["key"] for effect in page] == keys[:2]
    assert [effect["key"] for effect in shared.effects(subject=subject, limit=2, after=page[-1]["seq"])] == keys[2:]
    assert shared.get("/effects", kidn="orders.placed").status_code == 422


def test_effects_survive_kill_9_and_their_keys_still_hold(own: PartnerProcess) -> None:
    before = own.post("/orders", order("ORD-1"), key="k").json()
    own.kill()
    own.start()
    after = own.post("/orders", order("ORD-1"), key="k")
    assert after.json() == before
    assert after.headers["Idempotent-Replayed"] == "true"
    assert len(own.effects()) == 1


def test_kill_9_under_load_loses_no_answered_effect_and_doubles_none(own: PartnerProcess) -> None:
    answered: dict[int, str] = {}
    enough = Event()

    def place(number: int) -> str:
        return own.post("/orders", order(f"ORD-{number}"), key=f"k{number}").text

    def place_until_killed(number: int) -> None:
        try:
            answered[number] = place(number)
        except httpx2.HTTPError:
            return  # the service was killed: this caller does not know whether its order was placed
        if len(answered) >= 40:
            enough.set()

    with ThreadPoolExecutor(8) as pool:
        for number in range(200):
            pool.submit(place_until_killed, number)
        assert enough.wait(30)
        own.kill()
    assert 40 <= len(answered) < 200, "the kill came in the middle"
    own.start()
    assert {f"k{number}" for number in answered} <= {effect["key"] for effect in own.effects()}
    for number in range(200):
        text = place(number)
        assert answered.get(number, text) == text
    assert sorted(effect["key"] for effect in own.effects()) == sorted(f"k{number}" for number in range(200))


def test_a_failure_on_demand_performs_nothing_and_a_lost_answer_everything(shared: PartnerProcess, subject: str) -> None:
    failed = shared.post("/orders", order(subject), key=subject, X_Partner_Fail="503")
    assert (failed.status_code, failed.json()["detail"]) == (503, "Orders service unavailable")
    assert shared.effects(subject=subject) == []
    lost = shared.post("/orders", order(subject), key=subject, X_Partner_Fail_After="503")
    assert lost.status_code == 503
    assert len(shared.effects(subject=subject)) == 1
    assert shared.post("/orders", order(subject), key=subject).headers["Idempotent-Replayed"] == "true"


def test_a_senseless_failure_is_refused(shared: PartnerProcess, subject: str) -> None:
    answer = shared.post("/orders", order(subject), key=subject, X_Partner_Fail="soon")
    assert answer.status_code == 400
    assert answer.json()["detail"] == "X-Partner-Fail must be a whole number from 400 to 599, not 'soon'"


def test_failures_and_delay_can_be_set_for_every_request(tmp_path: Path) -> None:
    with PartnerProcess(tmp_path, PARTNERS_FAIL_EVERY="3", PARTNERS_DELAY_MS="20") as partners:
        answers = [partners.post("/orders", order(f"ORD-{n}"), key=f"k{n}") for n in range(6)]
    assert [answer.status_code for answer in answers] == [200, 200, 503, 200, 200, 503]
    assert all(answer.elapsed.total_seconds() >= 0.02 for answer in answers)


def test_every_endpoint_describes_its_body(shared: PartnerProcess) -> None:
    paths = shared.get("/openapi.json").json()["paths"]
    posts = {path: operations["post"] for path, operations in paths.items() if "post" in operations}
    undoable = {path for resource, _, undo, _, _ in UNDOABLE for path in (f"/{resource}", f"/{resource}/{{subject}}/{undo}")}
    plain = {
        "/actions",
        "/tasks",
        "/dashboard",
        "/escalations",
        "/work-items",
        "/batches",
        "/chain-steps",
        "/chain-errors",
        "/captures",
    }
    assert set(posts) == {"/orders", "/orders/{subject}/cancel"} | plain | undoable
    schema = posts["/orders"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["required"]) == set(order("ORD-1"))


def books(process: PartnerProcess, subject: str) -> list[tuple[str, bool]]:
    return [(line["status"], line["stands"]) for line in process.get("/books", subject=subject).json()["books"]]


@pytest.mark.parametrize(("resource", "field", "undo", "done", "undone"), UNDOABLE)
def test_what_a_saga_does_is_undone_once_also_twice_and_before_its_do(
    shared: PartnerProcess, subject: str, resource: str, field: str, undo: str, done: str, undone: str
) -> None:
    body = order(subject) | {field: subject, "assignee": "bob", "case": "case-1"}
    shared.post(f"/{resource}", body, key=f"{subject}/do")
    assert books(shared, subject) == [(done, True)]
    for number in range(2):
        answer = shared.post(f"/{resource}/{subject}/{undo}", {"case": "case-1"}, key=f"{subject}/undo-{number}")
        assert answer.json()["status"] == undone
    assert books(shared, subject) == [(undone, False)]
    assert [effect["kind"] for effect in shared.effects(subject=subject)] == [f"{resource}.{done}", f"{resource}.{undone}"]

    early = f"{subject}-early"
    shared.post(f"/{resource}/{early}/{undo}", {"case": "case-1"}, key=f"{early}/undo")
    late = shared.post(f"/{resource}", body | {field: early}, key=f"{early}/do")
    assert (late.status_code, late.json()["status"]) == (200, undone)
    assert books(shared, early) == [(undone, False)]


def test_an_undo_that_comes_while_its_do_is_under_way_holds(shared: PartnerProcess, subject: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(
            shared.post, "/flights", {"trip_id": subject, "case": "c"}, key=f"{subject}/do", **{"X-Partner-Delay-Ms": "300"}
        )
        shared.post(f"/flights/{subject}/cancel", {"case": "c"}, key=f"{subject}/undo")
        assert slow.result(10).json()["status"] == "cancelled"
    assert books(shared, subject) == [("cancelled", False)]


def test_rules_strike_one_do_or_undo_of_one_subject_so_often(own: PartnerProcess) -> None:
    rules = [
        {"resource": "hotels", "subject": "TR-1", "status": 503, "times": 1},
        {"resource": "hotels", "undo": True, "subject": "TR-1", "status": 409, "after": True},
        {"resource": "dashboard", "status": 503, "every": 2},
    ]
    assert own.put("/faults", rules).json() == {"rules": 3}
    booked = [own.post("/hotels", {"trip_id": "TR-1"}, key="do").status_code for _ in range(2)]
    assert (booked, own.post("/hotels", {"trip_id": "TR-2"}, key="other").status_code) == ([503, 200], 200)
    refused = own.post("/hotels/TR-1/cancel", {}, key="undo")
    assert (refused.status_code, refused.json()["detail"]) == (409, "Hotels service unavailable")
    assert books(own, "TR-1") == [("cancelled", False)]
    shown = [own.post("/dashboard", {"task_id": "T", "assignee": "bob"}, key=f"{n}") for n in range(4)]
    assert [answer.status_code for answer in shown] == [200, 503, 200, 503]
    assert shown[1].json()["detail"] == "Dashboard service unavailable"
    assert own.put("/faults", []).json() == {"rules": 0}
    assert own.put("/faults", [{"resource": "hotels", "sttus": 503}]).status_code == 422


def test_what_cannot_be_performed_takes_nothing_with_it_that_came_in_the_same_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The three share a transaction; SQLite takes no unpaired surrogate."""
    monkeypatch.syspath_prepend(str(PROJECT / "examples" / "partners"))
    effects, resources = import_module("effects"), import_module("resources")
    store = effects.EffectStore(tmp_path)
    (kind,) = [each for each in resources.RESOURCES if each.name == "orders"]
    commands = [effects.Command(name, kind, False, name, "", {}) for name in ("first", "\ud800", "third")]

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*map(store.perform, commands), return_exceptions=True)

    first, bad, third = asyncio.run(all_at_once())
    store.close()
    assert (first.body["status"], third.body["status"]) == ("placed", "placed")
    assert isinstance(bad, UnicodeEncodeError)
