"""`sayso notices` on a real notice file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sayso.cli.notices_commands import notices
from sayso.notices.notice_file import FILE_NAME, Notice, append_notice

PROJECT = Path(__file__).resolve().parents[2]
APP = typer.Typer()
APP.command()(notices)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAYSO_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("SAYSO_CONFIG_DIR", str(PROJECT / "config"))
    return tmp_path / FILE_NAME


def write(path: Path, notice_id: str, recipient: str, body: str = "body") -> None:
    append_notice(path, Notice(notice_id=notice_id, at=datetime.now(UTC), recipient=recipient, title=f"Title {notice_id}", body=body))


def test_a_notice_is_shown_once_with_how_often_it_was_delivered(path: Path) -> None:
    for notice_id in ("n-1", "n-2", "n-1", "n-1"):
        write(path, notice_id, "managers")
    result = CliRunner().invoke(APP)
    assert result.exit_code == 0
    assert result.stdout.count("Title n-1") == 1
    assert "to managers  Title n-1  (delivered 3 times)" in result.stdout
    assert "Title n-2\n" in result.stdout


def test_json_is_an_array_of_notices(path: Path) -> None:
    write(path, "n-1", "alice", "two\nlines")
    write(path, "n-1", "alice", "two\nlines")
    (shown,) = json.loads(CliRunner().invoke(APP, ["--json"]).stdout)
    assert (shown["notice_id"], shown["recipient"], shown["body"], shown["deliveries"]) == ("n-1", "alice", "two\nlines", 2)
    assert datetime.fromisoformat(shown["at"]).tzinfo


def test_for_a_user_shows_what_reaches_the_user_also_through_a_group(path: Path) -> None:
    for number, recipient in enumerate(("alice", "managers", "bob", "finance", "carol")):
        write(path, f"n-{number}", recipient)

    def ids(user: str) -> list[str]:
        shown = json.loads(CliRunner().invoke(APP, ["--for", user, "--json"]).stdout)
        return [notice["recipient"] for notice in shown]

    assert ids("alice") == ["alice"]
    assert ids("bob") == ["managers", "bob"]
    assert ids("carol") == ["managers", "finance", "carol"]


def test_a_user_that_nobody_knows_is_said_with_the_nearest_name(path: Path) -> None:
    write(path, "n-1", "dave@example.com")
    known = CliRunner().invoke(APP, ["--for", "dave@example.com"])
    assert "Title n-1" in known.stdout
    slip = CliRunner().invoke(APP, ["--for", "alcie"])
    assert (slip.exit_code, slip.stdout) == (0, "")
    assert 'did you mean "alice"?' in slip.stderr
    assert "no notices for alcie" in slip.stderr


def test_no_file_yet_is_no_notices(path: Path) -> None:
    result = CliRunner().invoke(APP)
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"no notices in {path}" in result.stderr
    assert json.loads(CliRunner().invoke(APP, ["--json"]).stdout) == []


def test_a_notice_cannot_steer_the_terminal(path: Path) -> None:
    write(path, "n-1", "[bold]alice", "\x1b[2J\x07[red]danger[/red]\u202e")
    shown = CliRunner().invoke(APP).stdout
    assert "to [bold]alice" in shown
    assert "\\x1b[2J\\x07[red]danger[/red]\\x202e" in shown
    assert "\x1b[2J" not in shown


def test_follow_shows_new_notices_once_until_ctrl_c(path: Path) -> None:
    write(path, "n-1", "alice")
    script = "import typer; from sayso.cli.notices_commands import notices; typer.run(notices)"
    command = [sys.executable, "-c", script, "--follow", "--json", "--for", "alice"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONWARNINGS": "error"}) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["notice_id"] == "n-1"
        write(path, "n-1", "alice")
        write(path, "n-2", "bob")
        write(path, "n-3", "alice")
        assert json.loads(process.stdout.readline())["notice_id"] == "n-3"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == b""
        assert process.wait(10) == 0
