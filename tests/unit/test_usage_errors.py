"""A command that was typed wrongly is one line on stderr, like every other error."""

from __future__ import annotations

import pytest

from sayso.cli.main import main


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["publsh"], "No such command 'publsh'"),
        (["events", "--limt", "3"], "No such option: --limt"),
        (["events", "--limit", "0"], "Invalid value for '--limit'"),
        (["decide", "PO-1", "maybe", "--as", "bob"], "'maybe' is not one of"),
        (["event"], "Missing argument 'ID'"),
        (["dead", "show", "\x1b[31m", "more\x1b[2J"], "unexpected extra argument"),
    ],
)
def test_a_usage_error_is_one_line_that_says_where_help_is(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert printed.err.count("\n") == 1
    assert printed.err.startswith("error: ")
    assert says in printed.err
    assert "--help" in printed.err
    assert "\x1b" not in printed.err


@pytest.mark.parametrize("arguments", [[], ["dead"], ["ledger"]])
def test_no_command_at_all_shows_what_there_is(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    printed = capsys.readouterr()
    assert ended.value.code == 2
    assert "Usage: sayso" in printed.out + printed.err


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["events", "--help"])
    assert ended.value.code == 0
    assert "--limit" in capsys.readouterr().out
