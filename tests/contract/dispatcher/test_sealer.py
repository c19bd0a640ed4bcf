"""The sealing lane: seals what others append, makes its key once, and never goes on with another one."""

from __future__ import annotations

import stat
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from sayso.errors import ConfigurationError
from sayso.ledger import Ledger, read_ledger_id
from sayso.ledger.audit import record
from sayso.ledger.audit_key import FILE_NAME, load_audit_key
from sayso.ledger.database import Transaction
from sayso.ledger.schema import outbox
from sayso.ledger.sealing import chain_head
from sayso.ledger.verifying import verify
from sayso.settings import AuditSettings, Settings
from sayso_subscribers.seal import Sealer, sealing_lane


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state")


def append(ledger: Ledger) -> None:
    ledger.transact(partial(record, action="counted"))


def sealed(ledger: Ledger) -> int:
    head = ledger.read(chain_head)
    return int(head.number) if head is not None else 0


def wait_until_sealed(ledger: Ledger, how_many: int) -> None:
    deadline = time.monotonic() + 60
    while sealed(ledger) < how_many:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def alerts(ledger: Ledger) -> list[str]:
    def read(tx: Transaction) -> list[str]:
        return [row.event_id for row in tx.all(select(outbox.c.event_id).where(outbox.c.topic == "alerts"))]

    return ledger.read(read)


def test_what_is_appended_is_sealed_and_verifies(ledger: Ledger, settings: Settings) -> None:
    ledger_id = read_ledger_id(ledger)
    append(ledger)
    lane = sealing_lane(ledger, settings, ledger_id)
    lane.start()
    try:
        wait_until_sealed(ledger, 1)
        append(ledger)
        wait_until_sealed(ledger, 2)
    finally:
        lane.stop(10)
    assert verify(ledger, load_audit_key(settings, may_create=False), ledger_id, {}).findings == ()


def test_the_key_is_made_once_and_readable_by_its_owner_alone(settings: Settings) -> None:
    keys = []
    threads = [threading.Thread(target=lambda: keys.append(load_audit_key(settings, may_create=True))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({key.secret for key in keys}) == 1
    assert len(keys) == 8
    path = settings.state_dir / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in settings.state_dir.iterdir()] == [FILE_NAME]
    assert keys[0].secret.hex() not in repr(keys[0])


def test_the_key_of_a_setting_counts_before_the_file(settings: Settings) -> None:
    named = settings.model_copy(update={"audit": AuditSettings(key=SecretStr("ab" * 32))})
    assert load_audit_key(named, may_create=True).secret == b"\xab" * 32
    assert not settings.state_dir.exists()


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "ab" * 31])
def test_a_key_that_is_none_is_refused(settings: Settings, text: str) -> None:
    settings.state_dir.mkdir()
    (settings.state_dir / FILE_NAME).write_text(text)
    with pytest.raises(ConfigurationError, match="hex digits"):
        load_audit_key(settings, may_create=True)


@pytest.mark.parametrize("accident", ["lost", "exchanged"])
def test_without_its_key_a_chain_waits_and_says_so_once(ledger: Ledger, settings: Settings, accident: str) -> None:
    ledger_id = read_ledger_id(ledger)
    append(ledger)
    assert Sealer(ledger, settings, ledger_id).work() is False
    assert sealed(ledger) == 1
    path = settings.state_dir / FILE_NAME
    right = path.read_text()
    if accident == "lost":
        path.unlink()
    else:
        path.write_text("cd" * 32)
    append(ledger)
    sealer = Sealer(ledger, settings, ledger_id)
    for _ in range(3):
        sealer.work()
    assert sealed(ledger) == 1
    assert path.exists() == (accident == "exchanged")
    assert alerts(ledger) == [f"alert:audit-key-unusable:{ledger_id}"]
    path.write_text(right)
    sealer.work()
    assert sealed(ledger) == 2
