"""The OpenAPI document: checked in, as the code says it, and as the gateway behaves."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from gateway_server import ROOT, gateway_with

from sayso.ledger import open_ledger
from sayso_gateway.openapi import document_of, text_of

CHECKED_IN = ROOT / "docs" / "openapi.json"
EXAMPLES = 15
"""For each operation and phase; `docs/http-api.md` says how 500 are run."""


def test_what_is_checked_in_is_what_the_code_says() -> None:
    assert CHECKED_IN.read_text(encoding="utf-8") == text_of(document_of(ROOT / "config")), "out of date; run: make docs"


def test_the_gateway_does_what_the_document_says_whatever_is_sent(tmp_path: Path) -> None:
    """Schemathesis: every operation, what fits and what does not, and one after the other."""
    shutil.copy(ROOT / "config" / "directory.yaml", tmp_path)
    webhooks = (ROOT / "config" / "webhooks.yaml").read_text(encoding="utf-8")
    open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", 0).close()
    with gateway_with(webhooks, tmp_path, development_login=True, requests_a_second=100_000) as gateway:
        command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(ROOT / "schemathesis.toml"), "run"]
        options = ["--url", gateway.url, "--auth", "bob:", "--max-examples", str(EXAMPLES), "--no-color"]
        done = subprocess.run(
            [*command, *options, str(CHECKED_IN)], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr
    assert "Stateful" in done.stdout
