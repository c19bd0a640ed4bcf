"""The command line on a real ledger that production code has filled. Commands run in this process, through `main`."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "ledger"))  # ledger_world stands beside the ledger's own tests

from answers import Answer, Sayso
from ledger_world import BINDINGS, PROJECT, PURCHASE, World, cloudevent, purchase

from sayso.cli.main import main
from sayso.ledger import Ledger
from sayso.settings import Settings
from sayso.signing.local_keys import make_local_keys
from sayso.signing.pen import Pen
from sayso.signing.senders import load_senders
from sayso.testing.demo_signer import DemoSigner


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a stack, with the shipped configuration."""
    monkeypatch.setenv("SAYSO_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("SAYSO_CONFIG_DIR", str(PROJECT / "config"))
    monkeypatch.setenv("SAYSO_LEDGER_URL", f"sqlite:///{tmp_path}/none.db")
    for name in ("DAPR_GRPC_PORT", "DAPR_HTTP_PORT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def sayso(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Sayso:
    """Run `sayso ARGUMENTS`."""

    def run(*arguments: str, stdin: bytes = b"") -> Answer:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8"))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        printed = capsys.readouterr()
        return Answer(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture
def signed(place: Path) -> Callable[..., bytes]:
    """Sign a decision with the local demo key, so long `ago`, about the request of its key: `purchase()`."""
    make_local_keys(PROJECT / "config" / "senders.yaml", place / "state")

    def sign(body: bytes, ago: timedelta = timedelta(0), **asked: Any) -> bytes:
        key = load_senders(PROJECT / "config" / "senders.yaml", place / "state").pen_of("demo")
        signer = DemoSigner(BINDINGS, Pen(key, Settings().signing.audience), lambda: datetime.now(UTC) - ago)
        signer.note("purchases", cloudevent(PURCHASE, purchase(**asked)))
        return signer.sign("approvals", body)

    return sign


@pytest.fixture
def ledger_url(sqlite_url: str) -> str:
    """SQLite alone: what differs between the databases is in the queries, which have tests on both."""
    return sqlite_url


@pytest.fixture
def world(place: Path, ledger_url: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> World:
    """A ledger, and the commands' way to it."""
    monkeypatch.setenv("SAYSO_LEDGER_URL", ledger_url)
    return World(ledger)
