"""One fault each, at exactly its moment, on a stack that these tests may harm (docs/cases.md): nothing lost, nothing twice."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import valkey
from blows import back, held_still, inbox_of, ledger_locked, not_started_again
from running_system import RunningSystem
from shop_events import Event, decision, encoded, fresh, payment, purchase
from stack_pairs import system_on
from terminal import Terminal
from waiting import eventually
from webhook_partner import WebhookPartner

from sayso.testing.stack import PROJECT

pytestmark = pytest.mark.stack

DEADLINE_SECONDS = 90.0
BATCH = 200
WEBHOOKS = 12


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration folder that these tests may change."""
    return shutil.copytree(PROJECT / "config", tmp_path_factory.mktemp("project") / "config")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Iterator[RunningSystem]:
    settings = {"SAYSO_CONFIG_DIR": str(config), "SAYSO_APPROVERS_ONLY": "true"}
    with system_on(("valkey", "sqlite"), tmp_path_factory, **settings) as running:
        yield running


@contextmanager
def changed(file: Path, *words: str) -> Iterator[None]:
    """The first word of the file is the second one until the block ends."""
    before = file.read_text(encoding="utf-8")
    _put(file, before.replace(*words))
    try:
        yield
    finally:
        _put(file, before)


def _put(file: Path, text: str) -> None:
    """At once, so that nobody reads half of it."""
    new = file.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.replace(file)


def restarted(system: RunningSystem, name: str) -> None:
    back(system, name, system.stack.kill(name))


def completed_once(system: RunningSystem, order: str) -> None:
    """The order was paid, placed once, and its one case has ended in ledger and engine."""
    closed = system.closed(order, deadline_seconds=DEADLINE_SECONDS)
    assert closed.outcome == "completed", closed
    assert [kind for kind, _ in system.effects(order)] == ["orders.placed"]
    assert len(system.cases(order)) == 1
    system.outcome(order)


def test_an_event_that_the_broker_took_right_before_it_was_killed_is_not_lost(system: RunningSystem) -> None:
    order = purchase(fresh("PO"))
    with held_still(system, "daprd"):  # so that nobody but the broker has it
        system.send(order)
        before = system.stack.kill("valkey")
    back(system, "valkey", before)
    assert system.settled(order, "started", deadline_seconds=DEADLINE_SECONDS).sightings == 1


def test_while_the_broker_is_stopped_every_webhook_is_told_503_and_after_its_return_nothing_is_missing(system: RunningSystem) -> None:
    partner = WebhookPartner(system)
    orders = [fresh("PO") for _ in range(WEBHOOKS)]
    before = system.stack.processes()["valkey"].pid
    with ThreadPoolExecutor(WEBHOOKS) as senders:
        with not_started_again(system):
            system.stack.processes()["valkey"].kill()
            answers = list(senders.map(partner.send, orders))
        assert {answer.status_code for answer in answers} == {503}
        assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)
        back(system, "valkey", before)
        repeated = list(senders.map(lambda order: partner.send_until_accepted(order, DEADLINE_SECONDS), orders))
    assert all(codes[-1] == 202 for codes in repeated)
    for order in orders:
        eventually(lambda order=order: system.rows(f"pay-{order}"), DEADLINE_SECONDS, f"the payment of {order} is there")  # type: ignore[misc]
        assert system.row(f"pay-{order}").source == "/partners/payments"


def test_a_broker_killed_in_the_middle_of_a_batch_keeps_what_it_has_answered(system: RunningSystem) -> None:
    """The sender, who does not know what was taken of the rest, sends all of it again."""
    batch = [payment(fresh("PO")) for _ in range(BATCH)]  # early: they wait for their orders
    host, _, port = system.state.redis_host.rpartition(":")
    connection = valkey.Connection(host=host, port=int(port), socket_timeout=10)
    connection.connect()
    half = BATCH // 2
    connection.send_packed_command(connection.pack_commands([("XADD", "payments", "*", "data", encoded(one)) for one in batch[:half]]))
    answers = [connection.read_response() for _ in range(half)]
    rest = b"".join(connection.pack_commands([("XADD", "payments", "*", "data", encoded(one)) for one in batch[half:]]))
    connection.send_packed_command([rest[: len(rest) * 2 // 3]])  # it ends within a message
    before = system.stack.kill("valkey")
    connection.disconnect()
    back(system, "valkey", before)
    system.send(*batch)
    for one in batch:
        system.settled(one, "held", deadline_seconds=DEADLINE_SECONDS)
    eventually(lambda: all(system.row(one["id"]).sightings >= 2 for one in batch[:half]), DEADLINE_SECONDS, "all that was answered")
    assert len(set(answers)) == half


def test_what_is_in_flight_when_subscribers_and_worker_are_stopped_is_done_once(system: RunningSystem) -> None:
    orders = [fresh("PO") for _ in range(5)]
    for order in orders:
        system.open_purchase(order)
    early = [payment(order) for order in orders]
    with held_still(system, "partners"):  # placing an order hangs
        decisions = [decision(order_id=order) for order in orders]
        system.send(*decisions)
        for one in decisions:
            system.settled(one, "delivered", deadline_seconds=DEADLINE_SECONDS)
        system.send(*early)
        logs = {name: system.stack.log(name).count("stopped") for name in ("subscribers", "worker")}
        before = {name: system.stack.processes()[name] for name in logs}
        for process in before.values():
            process.send_signal(signal.SIGTERM)
    for name, process in before.items():
        back(system, name, process.pid)
        assert system.stack.log(name).count("stopped") > logs[name], f"{name} ended by itself"
    for order in orders:
        completed_once(system, order)


def test_an_event_that_daprd_saved_and_was_killed_before_it_could_act_on_it_still_wakes_its_case(system: RunningSystem) -> None:
    """daprd saves a raised event to the instance's inbox, then asks the scheduler for a reminder; which is held still here."""
    order = fresh("PO")
    instance_id = system.open_purchase(order).instance_id
    decided = decision(order_id=order)
    with held_still(system, "scheduler"):
        system.send(decided)
        eventually(lambda: inbox_of(system, instance_id), DEADLINE_SECONDS, "the event is in the inbox")
        before = system.stack.kill("daprd")
    back(system, "daprd", before)
    system.send(payment(order))
    completed_once(system, order)
    assert system.row(decided["id"]).state == "consumed"


def test_a_worker_killed_between_an_effect_and_its_record_repeats_it_under_the_same_key(system: RunningSystem) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    decided = decision(order_id=order)
    with held_still(system, "partners") as partners:
        system.send(decided)
        system.settled(decided, "delivered", deadline_seconds=DEADLINE_SECONDS)
        with ledger_locked(system):
            partners.resume()
            eventually(lambda: system.effects(order), DEADLINE_SECONDS, "the order is placed")
            before = system.stack.kill("worker")
    back(system, "worker", before)
    system.send(payment(order))
    completed_once(system, order)
    ((_, calls),) = system.effects(order)
    assert calls >= 2, "it was asked for again, and done once"


def test_events_for_cases_wait_while_no_worker_is_connected(system: RunningSystem) -> None:
    order, new = fresh("PO"), purchase(fresh("PO"))
    system.open_purchase(order)
    with not_started_again(system):
        worker = system.stack.processes()["worker"]
        worker.kill()
        decided = decision(order_id=order)
        system.send(decided, new)
        eventually(lambda: (case := system.case(order)) and case.last_error, DEADLINE_SECONDS, "the raise has failed")
        assert system.row(decided["id"]).state == "delivering"
    back(system, "worker", worker.pid)
    system.send(payment(order))
    completed_once(system, order)
    system.waiting_for("approval", new["data"]["order_id"])


def test_no_case_stays_running_when_placement_is_killed(system: RunningSystem) -> None:
    orders = [fresh("PO") for _ in range(5)]
    for order in orders:
        system.open_purchase(order)
    before = system.stack.kill("placement")
    sent: list[Event] = [decision(order_id=order) for order in orders] + [payment(order) for order in orders]
    system.send(*sent)
    back(system, "placement", before)
    for order in orders:
        completed_once(system, order)


def deliveries(system: RunningSystem, topic: str) -> list[int]:
    """How often each message that nobody has acknowledged was handed out by the broker."""
    host, _, port = system.state.redis_host.rpartition(":")
    with valkey.Valkey(host=host, port=int(port), socket_timeout=10) as client:
        return [one["times_delivered"] for one in client.xpending_range(topic, "sayso", "-", "+", 100)]


def delivered_again_while_the_first_runs(system: RunningSystem) -> Event | None:
    """An order whose commit is held up for longer than the broker waits for an acknowledgement; None if the handler gave up first."""
    eventually(lambda: deliveries(system, "purchases") == [], DEADLINE_SECONDS, "nothing is in hand")
    order = purchase(fresh("PO"))
    with ledger_locked(system):
        given_up = system.stack.log("subscribers").count("not committed")
        system.send(order)
        eventually(lambda: max(deliveries(system, "purchases"), default=0) > 1, DEADLINE_SECONDS, "it was delivered again")
        assert system.rows(order["id"]) == []
        return order if system.stack.log("subscribers").count("not committed") == given_up else None


def test_a_second_delivery_while_the_first_still_runs_is_only_counted(system: RunningSystem) -> None:
    order = eventually(
        lambda: delivered_again_while_the_first_runs(system), 3 * DEADLINE_SECONDS, "a second delivery while the first runs"
    )
    row = system.settled(order, "started", deadline_seconds=DEADLINE_SECONDS)
    eventually(lambda: system.row(order["id"]).sightings > 1, DEADLINE_SECONDS, "the second one is counted")
    assert [case.opened_by for case in system.cases(order["data"]["order_id"])] == [row.seq]
    eventually(lambda: deliveries(system, "purchases") == [], DEADLINE_SECONDS, "both are acknowledged")


def test_a_right_that_is_withdrawn_between_publication_and_delivery_does_not_count(system: RunningSystem, config: Path) -> None:
    order = fresh("PO")
    system.open_purchase(order)
    by_bob = decision(order_id=order, by="bob")
    with ExitStack() as later:
        with held_still(system, "daprd"):
            system.send(by_bob)  # bob is a manager now
            later.enter_context(changed(config / "directory.yaml", "members: [bob, carol]", "members: [carol]"))
        refused = system.settled(by_bob, "refused", deadline_seconds=DEADLINE_SECONDS)
    assert refused.reason == "bob is not a member of managers, who are asked"
    system.waiting_for("approval", order)
    system.send(decision(order_id=order, by="carol"), payment(order))
    completed_once(system, order)


def test_a_replay_of_a_dead_letter_whose_effect_has_happened_through_another_event_changes_nothing(
    system: RunningSystem, config: Path
) -> None:
    """The payment had no binding and was unmatched; its sender sent it again as a new event, which paid the order."""
    order, terminal = fresh("PO"), Terminal(system)
    system.open_purchase(order)
    unmatched, sent_again = payment(order), payment(order)
    with changed(config / "bindings.yaml", "com.acme.payment.captured.v1", "com.acme.payment.booked.v1"):
        restarted(system, "subscribers")
        system.send(decision(order_id=order), unmatched)
        system.settled(unmatched, "unmatched", deadline_seconds=DEADLINE_SECONDS)
    restarted(system, "subscribers")
    system.send(sent_again)
    completed_once(system, order)
    assert "would be late" in terminal.sayso("dead", "replay", unmatched["id"], "--dry-run")
    assert terminal.json("dead", "replay", unmatched["id"], "--as", "olga")["events"][0]["done"] is True
    late = system.settled(unmatched, "late", deadline_seconds=DEADLINE_SECONDS)
    completed_once(system, order)
    assert system.row(sent_again["id"]).state == "consumed"
    refunds = eventually(lambda: _refunds(system, order), DEADLINE_SECONDS, "the second payment is given back")
    assert {one["id"] for one in refunds} == {late.answered_by}
    assert "it came too late and was answered" in terminal.sayso("dead", "replay", unmatched["id"], "--as", "olga", code=4)


def _refunds(system: RunningSystem, order: str) -> list[Event]:
    refund = "sayso.payment.refund-requested.v1"
    return [one for one in system.messages_about("payment-commands", order) if one["type"] == refund]
