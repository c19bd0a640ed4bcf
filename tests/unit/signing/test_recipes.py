"""The recipes of docs/signing.md, as they stand there: what another system signs with them gets in."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sayso.correlation.bindings import load_bindings
from sayso.correlation.correlate import correlate
from sayso.correlation.verdict import Resume
from sayso.settings import SigningSettings
from sayso.signing.local_keys import new_secret, public_half
from sayso.signing.notary import Notary
from sayso.signing.senders import LiveSenders
from sayso.testing.forging.company import demanding

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "signing.md").read_text(encoding="utf-8")
LANGUAGES = {"python": ([sys.executable], "py"), "js": (["node"], "mjs"), "sh": (["sh"], "sh")}
ASKED = {"data": {"case": "purchase-PO-1-1-abc123", "request_hash": "ab" * 32}}


def recipe(language: str) -> str:
    """The one block of this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reason", ["within budget", None, "größer, \"so\" 'said' \\ 日本 & $HOME"])
def test_what_a_recipe_signs_gets_in(tmp_path: Path, language: str, reason: str | None) -> None:
    command, suffix = LANGUAGES[language]
    program = shutil.which(command[0])
    assert program is not None, f"{command[0]} is needed for the recipe"
    secret = new_secret("EdDSA")
    (tmp_path / "erp-1.pem").write_text(secret)
    (tmp_path / "erp-1.public.pem").write_text(public_half(secret))
    (tmp_path / "senders.yaml").write_text(
        "senders: {erp: {types: [sayso.approval.decided.v1], topics: [approvals], speaks_for: [bob],"
        " keys: [{id: erp-1, file: erp-1.public.pem}]}}"
    )
    data = {"order_id": "PO-1", "approved": True, "approver": "bob"} | ({"reason": reason} if reason else {})
    event = {"specversion": "1.0", "id": "d-1", "source": "/erp", "type": "sayso.approval.decided.v1", "data": data}
    (tmp_path / "decision.json").write_text(json.dumps(event))
    (tmp_path / "asked.json").write_text(json.dumps(ASKED))
    (tmp_path / f"sign.{suffix}").write_text(recipe(language))
    done = subprocess.run(
        [program, f"sign.{suffix}", "decision.json", "asked.json"], cwd=tmp_path, capture_output=True, check=True, timeout=60
    )
    bindings = demanding(load_bindings(ROOT / "config" / "bindings.yaml"))
    notary = Notary(LiveSenders(tmp_path / "senders.yaml", tmp_path), SigningSettings())
    verdict = notary.vouch(correlate(bindings, "approvals", done.stdout), datetime.now(UTC))
    assert isinstance(verdict, Resume), verdict
    assert verdict.payload["signed"] == {
        "sender": "erp",
        "key": "erp-1",
        "instance": ASKED["data"]["case"],
        "request_hash": ASKED["data"]["request_hash"],
    }
