"""The clock of a ledger, as somebody sets it: ahead or back, while everything runs."""

from __future__ import annotations

import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import event

from sayso.ledger import Ledger, database


class SettableClock:
    """`set` says by how much it is wrong from now on; the clocks of engine and test go on as they are."""

    def __init__(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        self._off = timedelta(0)
        shifted = SimpleNamespace(time_ns=lambda: time.time_ns() + self._off // timedelta(microseconds=1) * 1_000, sleep=time.sleep)
        monkeypatch.setattr(database, "time", shifted)  # SQLite has its host's
        if ledger.dialect == "postgresql":
            event.listen(ledger.engine, "before_cursor_execute", self._rewrite, retval=True)

    def set(self, off: timedelta) -> None:
        self._off = off

    def _rewrite(self, _connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> tuple[str, Any]:
        for clock in ("clock_timestamp()", "statement_timestamp()"):
            statement = statement.replace(clock, f"({clock} + interval '{self._off.total_seconds():f} seconds')")
        return statement, values
