"""docs/webhooks.md: its example connects a new source, as it stands there."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from gateway_server import ROOT, gateway_with

PAGE = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
EXAMPLE = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)[0]
SHELL = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)[0]


def test_a_new_source_is_connected_with_ten_lines_and_the_commands_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert EXAMPLE.count("\n") == 10
    shipped = (ROOT / "config" / "webhooks.yaml").read_text(encoding="utf-8")
    monkeypatch.setenv("SHOP_WEBHOOK_SECRET", "a-long-random-text")
    with gateway_with(shipped + EXAMPLE, tmp_path) as gateway:
        lines = [line for line in SHELL.splitlines() if not line.startswith("sayso")]
        script = "\n".join(lines).replace("http://127.0.0.1:8088", gateway.url)
        done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.startswith("HTTP/1.1 202"), done.stdout + done.stderr
    ((topic, key, event),) = gateway.broker.published
    assert (topic, key, event["id"], event["type"]) == ("purchases", "PO-7", "1", "com.acme.purchase.requested.v1")
    assert b'"cost":1200.50' in gateway.broker.bodies[0]
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "accepted"
