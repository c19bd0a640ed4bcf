from itertools import islice
from pathlib import Path

import pytest

from sayso.stack import logs


def test_a_new_run_sets_the_previous_logs_aside(tmp_path: Path) -> None:
    (tmp_path / "daprd.log").write_text("yesterday\n")
    logs.begin_new_run(tmp_path)
    assert not (tmp_path / "daprd.log").exists()
    assert (tmp_path / "daprd.log.1").read_text() == "yesterday\n"


def test_the_last_words_of_a_process_are_its_last_line_with_text(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("one\nno such table: cases\n\n")
    assert logs.last_line(tmp_path / "a.log") == "no such table: cases"
    assert logs.last_line(tmp_path / "missing.log") == ""


def test_the_tail_has_at_most_so_many_lines(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("1\n2\n3\n")
    assert logs.tail(tmp_path / "a.log", 2) == ["2", "3"]


def test_following_gives_complete_new_lines_with_their_process(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("old\n")
    lines = logs.follow([log, tmp_path / "later.log"])
    with log.open("a") as file:
        file.write("new\nhalf")
        file.flush()
        (tmp_path / "later.log").write_text("hello\n")
        assert list(islice(lines, 2)) == [("worker", "new"), ("later", "hello")]
        file.write(" a line\n")
        file.flush()
        assert next(lines) == ("worker", "half a line")


def test_a_log_that_grew_too_long_begins_anew_and_keeps_the_old_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "SIZE_MAX_BYTES", 10)
    log = tmp_path / "daprd.log"
    with log.open("a") as writer:
        writer.write("0123456789abc\n")
        writer.flush()
        logs.cut_long(tmp_path)
        writer.write("after\n")
    assert log.read_text() == "after\n"
    assert (tmp_path / "daprd.log.1").read_text() == "0123456789abc\n"
