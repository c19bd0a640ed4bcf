"""docs/own-workflow.md on the real stack: the commands of its last part, word for word, in one shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sayso.testing.stack import PROJECT

pytestmark = pytest.mark.stack
SECONDS = 300.0


def commands() -> list[str]:
    """What the page says to type."""
    page = (PROJECT / "docs/own-workflow.md").read_text(encoding="utf-8")
    part = page.partition("\n## Run it\n")[2].partition("\n## ")[0]
    return re.findall(r"^ {4}(\S.*)$", part, re.MULTILINE)


def test_the_commands_of_the_page_run_a_request_from_its_event_to_its_outcome(tmp_path: Path) -> None:
    typed = commands()
    assert (typed[0].split()[0], typed[-1]) == ("export", "sayso down")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SAYSO_", "DAPR_", "PYTHON"))}
    clean |= {"SAYSO_STATE_DIR": str(tmp_path / "state"), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    try:
        done = _bash("\n".join(["set -e", *typed[:-1]]), clean)
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        down = _bash("\n".join([typed[0], typed[-1]]), clean)
    assert down.returncode == 0, down.stderr
    printed = done.stdout + done.stderr
    assert "leave-requested" in printed
    assert "consumed" in printed
    assert re.search(r"^COMPLETED  leave_request-L-7001-1-", done.stdout, re.MULTILINE)
    page = done.stdout.rpartition("COMPLETED")[2]
    assert "10 days off for alice from 2026-02-02" in page
    assert "book_leave" in page
    assert "published on outcomes" in page


def _bash(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["bash", "-c", script]
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS)
