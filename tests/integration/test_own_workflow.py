"""docs/own-workflow.md on the real stack: the commands of its last part, word for word, in one shell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from own_stack import shell_of

from sayso.testing.stack import PROJECT

pytestmark = pytest.mark.stack


def commands() -> list[str]:
    """What the page says to type."""
    page = (PROJECT / "docs/own-workflow.md").read_text(encoding="utf-8")
    part = page.partition("\n## Run it\n")[2].partition("\n## ")[0]
    return re.findall(r"^ {4}(\S.*)$", part, re.MULTILINE)


def test_the_commands_of_the_page_run_a_request_from_its_event_to_its_outcome(tmp_path: Path) -> None:
    first, *between, last = commands()
    assert (first.split()[0], last) == ("export", "sayso down")
    with shell_of(tmp_path / "state", first) as shell:
        printed = shell.must(*between)
    assert "7 passed" in printed
    assert "leave-requested" in printed
    assert "consumed" in printed
    assert re.search(r"^COMPLETED  leave_request-L-7001-1-", printed, re.MULTILINE)
    page = printed.rpartition("COMPLETED  ")[2]
    assert "10 days off for alice from 2026-02-02" in page
    assert "book_leave" in page
    assert "published on outcomes" in page
