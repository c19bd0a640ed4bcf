"""`/metrics` as Prometheus sees it: over HTTP, from a real ledger."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from sayso.ledger import Ledger
from sayso.ledger.intake import receive
from sayso.metrics import serve_metrics
from sayso.settings import AlarmSettings
from sayso.stack.ports import HOST, Ports
from sayso_subscribers.ledger_metrics import LedgerCollector

Samples = dict[str, float]


@contextmanager
def served(ledger: Ledger, seed: Path) -> Iterator[str]:
    port = Ports(str(seed), use_defaults=False).take()
    stop = serve_metrics("subscribers", HOST, port, [LedgerCollector(ledger, AlarmSettings())])
    try:
        yield f"http://{HOST}:{port}/metrics"
    finally:
        stop()


def scrape(url: str) -> Samples:
    with httpx2.Client(trust_env=False, timeout=10) as client:
        page = client.get(url).raise_for_status().text
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return {"/".join((sample.name, *sample.labels.values())): sample.value for sample in samples}


def test_the_numbers_are_those_of_the_ledger(ledger: Ledger, tmp_path: Path) -> None:
    for number in range(3):
        ledger.transact(partial(receive, topic="purchases", original=b"%d" % number))
    with served(ledger, tmp_path) as url:
        numbers = scrape(url)
    assert numbers["sayso_events_received_total"] == 3
    assert numbers["sayso_events/received"] == numbers["sayso_undispatched_rows"] == 3
    assert numbers["sayso_events/consumed"] == numbers["sayso_outbox_rows"] == numbers["sayso_cases_overdue"] == 0
    assert numbers["sayso_undispatched_oldest_seconds"] >= 0
    assert numbers["sayso_ledger_readable"] == 1
    assert ("sayso_ledger_disk_free_bytes" in numbers) is (ledger.dialect == "sqlite")
    assert numbers["process_resident_memory_bytes"] > 0


def test_several_who_ask_at_once_share_an_answer(sqlite_url: str, tmp_path: Path) -> None:
    ledger = Ledger(sqlite_url)
    try:
        with served(ledger, tmp_path) as url:
            scrape(url)
            ledger.transact(partial(receive, topic="purchases", original=b"later"))
            assert scrape(url)["sayso_events_received_total"] == 0
    finally:
        ledger.close()


def test_a_ledger_that_cannot_be_read_is_a_number_too(sqlite_url: str, tmp_path: Path) -> None:
    ledger = Ledger(sqlite_url)
    ledger.transact(lambda tx: tx.run(text("ALTER TABLE events RENAME TO gone")))
    try:
        with served(ledger, tmp_path) as url:
            numbers = scrape(url)
    finally:
        ledger.close()
    assert numbers["sayso_ledger_readable"] == 0
    assert "sayso_events_received_total" not in numbers


def test_a_port_that_is_taken_costs_the_numbers_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        serve_metrics("worker", HOST, taken.getsockname()[1])()
    assert "no metrics: the port cannot be had" in capsys.readouterr().out


def test_port_0_is_none() -> None:
    serve_metrics("worker", HOST, 0)()
