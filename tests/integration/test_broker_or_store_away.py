"""Kafka's partitions change hands, or Kafka or the state store cannot be reached for a while (docs/cases.md): then all catches up.

The broker, the state store and the ledger are three connections here, of which one can be cut while the others go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from blows import back
from confluent_kafka.admin import AdminClient
from running_system import RunningSystem
from shop_events import decision, fresh, payment, purchase, topic_of
from sqlalchemy import select
from waiting import eventually

from sayso.ledger.schema import outbox
from sayso.testing.fault_run.partitions import Partitions
from sayso.testing.fault_run.stories import SETTINGS
from sayso.testing.stack import running_stack

pytestmark = pytest.mark.stack

GROUP = "sayso"
DEADLINE_SECONDS = 120.0


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    folder = tmp_path_factory.mktemp("stack")
    with running_stack(folder, broker="kafka", ledger="postgresql", env_overrides=SETTINGS, partitionable=True) as stack:
        running = RunningSystem(stack)
        yield running
        running.close()


@contextmanager
def cut(system: RunningSystem, connection: str, *directions: str) -> Iterator[None]:
    """Nothing passes this connection, or nothing in these directions, until the block ends."""
    partitions = Partitions(system.state.toxiproxy_port)
    partitions.cut(connection, *directions)
    try:
        yield
    finally:
        partitions.heal(connection)
        partitions.close()


@contextmanager
def intake_held_up(system: RunningSystem) -> Iterator[psycopg.Connection]:
    """No handler gets its event into the ledger until the block ends."""
    url = system.state.ledger_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(url, autocommit=True) as observer, psycopg.connect(url) as blocker:
        blocker.execute("LOCK TABLE events IN EXCLUSIVE MODE")
        yield observer
        blocker.rollback()


def handlers_that_wait(observer: psycopg.Connection) -> int:
    """How many statements on the events wait for the one who blocks them."""
    row = observer.execute("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'events'::regclass").fetchone()
    return int(row[0]) if row else 0


def members(system: RunningSystem) -> int:
    """How many consumers Kafka counts in the group."""
    admin = AdminClient({"bootstrap.servers": system.state.kafka_brokers, "log_level": 0})
    return len(admin.describe_consumer_groups([GROUP])[GROUP].result().members)


def send_spread(system: RunningSystem, events: list[dict[str, object]]) -> None:
    """To partitions by their keys, as senders do."""
    for one in events:
        system.broker.send(topic_of(one), system.written(one), str(one["id"]))


def test_what_was_being_handled_when_its_partitions_changed_hands_is_only_counted_when_it_comes_again(system: RunningSystem) -> None:
    """daprd is lost with handlers under way, and its successor in the group gets the partitions; the handlers end meanwhile."""
    early = [payment(fresh("PO")) for _ in range(24)]
    with intake_held_up(system) as observer:
        send_spread(system, early)
        eventually(lambda: handlers_that_wait(observer), DEADLINE_SECONDS, "handlers wait for the ledger")
        before = system.stack.kill("daprd")
    back(system, "daprd", before)
    for one in early:
        system.settled(one, "held", deadline_seconds=DEADLINE_SECONDS)
    eventually(lambda: any(system.row(one["id"]).sightings > 1 for one in early), DEADLINE_SECONDS, "some were delivered again")


def test_after_a_long_partition_from_the_broker_all_that_waited_there_is_handled(system: RunningSystem) -> None:
    orders = [fresh("PO") for _ in range(20)]
    events = [one for order in orders for one in (purchase(order), decision(order_id=order))]
    with cut(system, "daprd-kafka"):
        eventually(lambda: members(system) == 0, DEADLINE_SECONDS, "Kafka has given the group up")
        send_spread(system, events)
        assert not any(system.rows(one["id"]) for one in events)
    for one in events:
        system.settled(one, "started", "consumed", deadline_seconds=DEADLINE_SECONDS)
    send_spread(system, [payment(order) for order in orders])
    for order in orders:
        assert system.closed(order, deadline_seconds=DEADLINE_SECONDS).outcome == "completed"
        assert [kind for kind, _ in system.effects(order)] == ["orders.placed"]


def test_cases_go_on_when_the_state_store_is_back(system: RunningSystem) -> None:
    """The ledger goes on taking events meanwhile; what cannot be raised waits there."""
    orders = [fresh("PO") for _ in range(10)]
    for order in orders:
        system.open_purchase(order)
    decisions = [decision(order_id=order) for order in orders]
    with cut(system, "daprd-postgresql"):
        send_spread(system, decisions)
        for one in decisions:
            system.settled(one, "delivering", deadline_seconds=DEADLINE_SECONDS)
        eventually(
            lambda: any((case := system.case(order)) and case.last_error for order in orders), DEADLINE_SECONDS, "a raise has failed"
        )
    send_spread(system, [payment(order) for order in orders])
    for order in orders:
        assert system.closed(order, deadline_seconds=DEADLINE_SECONDS).outcome == "completed"
        assert [kind for kind, _ in system.effects(order)] == ["orders.placed"]


def test_a_publish_whose_answer_was_lost_is_made_again_under_the_same_id(system: RunningSystem) -> None:
    """Kafka takes it, its answer does not pass, and daprd, which waits for that, is killed: nobody knows what came of it."""
    known, order = fresh("PO"), fresh("PO")
    for one in (known, order):
        system.open_purchase(one)
    system.approve_purchase(known)
    asked_for(system, known)  # daprd's producer knows the topic
    instance_id = system.waiting_for("approval", order).instance_id
    with cut(system, "daprd-kafka", "downstream"):
        system.engine.raise_event(instance_id, "approval_received", {"approved": True, "approver": "bob"})
        asked_for(system, order)
        assert not published(system, order)
        before = system.stack.kill("daprd")
    back(system, "daprd", before)
    eventually(lambda: published(system, order), DEADLINE_SECONDS, "the ledger knows that it was published")
    copies = asked_for(system, order)
    assert len(copies) > 1
    assert [copy["id"] for copy in copies] == [f"{instance_id}:payment-requested"] * len(copies)
    assert all(copy == copies[0] for copy in copies)
    send_spread(system, [payment(order)])
    assert system.closed(order, deadline_seconds=DEADLINE_SECONDS).outcome == "completed"
    assert [kind for kind, _ in system.effects(order)] == ["orders.placed"]


def asked_for(system: RunningSystem, order: str) -> list[dict[str, Any]]:
    """The payment commands for this order that the broker has."""
    return eventually(lambda: system.messages_about("payment-commands", order), DEADLINE_SECONDS, "a payment is asked for")


def published(system: RunningSystem, order: str) -> bool:
    """Whether the ledger takes the payment command for published."""
    query = select(outbox.c.due_at_ms).where(outbox.c.topic == "payment-commands", outbox.c.partition_key == order)
    return system.ledger.read(lambda tx: [row.due_at_ms for row in tx.all(query)]) == [None]
