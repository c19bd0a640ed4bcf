"""The cache's one install: complete or absent, once, whoever asks."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from sayso.errors import ConfigurationError
from sayso.stack.cached_install import install_once, remove_folder, run_tool


def fill_with(text: str, calls: list[str]) -> object:
    def fill(work: Path) -> Path:
        calls.append(text)
        folder = work / "out"
        folder.mkdir()
        (folder / "tool").write_text(text)
        return folder

    return fill


def ignore(_: str) -> None:
    pass


def test_a_missing_target_is_filled_and_a_present_one_is_left_alone(tmp_path: Path) -> None:
    calls: list[str] = []
    target = tmp_path / "tools" / "1.0"
    install_once(target, fill_with("first", calls), ignore)
    install_once(target, fill_with("second", calls), ignore)
    assert calls == ["first"]
    assert (target / "tool").read_text() == "first"


def test_a_failed_attempt_leaves_no_target_and_no_work_folder(tmp_path: Path) -> None:
    def fail(work: Path) -> Path:
        (work / "half").write_text("half")
        raise ConfigurationError("no")

    target = tmp_path / "1.0"
    with pytest.raises(ConfigurationError):
        install_once(target, fail, ignore)
    assert not target.exists()
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_what_a_killed_attempt_left_behind_is_thrown_away(tmp_path: Path) -> None:
    left = tmp_path / ".1.0.work" / "out"
    left.mkdir(parents=True)
    (left / "half").write_text("half")
    left.chmod(0o500)
    install_once(tmp_path / "1.0", fill_with("whole", []), ignore)
    assert [path.name for path in (tmp_path / "1.0").iterdir()] == ["tool"]
    assert not (tmp_path / ".1.0.work").exists()


def test_of_two_at_once_one_fills_and_the_other_waits_and_says_so(tmp_path: Path) -> None:
    calls: list[str] = []
    said: list[str] = []
    filling, waiting = threading.Event(), threading.Event()

    def slow_fill(work: Path) -> Path:
        filling.set()
        assert waiting.wait(10), "the second caller never met the lock"
        return fill_with("slow", calls)(work)

    def second_says(text: str) -> None:
        said.append(text)
        waiting.set()

    first = threading.Thread(target=install_once, args=(tmp_path / "1.0", slow_fill, ignore))
    first.start()
    assert filling.wait(10)
    install_once(tmp_path / "1.0", fill_with("second", calls), second_says)
    first.join(10)
    assert calls == ["slow"]
    assert said == ["another sayso process is installing the same; waiting for it"]


def test_a_read_only_copy_can_be_removed(tmp_path: Path) -> None:
    folder = tmp_path / "copy" / "inner"
    folder.mkdir(parents=True)
    (folder / "file").write_text("x")
    (folder / "link").symlink_to("nowhere")
    folder.chmod(0o500)
    remove_folder(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_failing_tool_tells_its_last_lines(tmp_path: Path) -> None:
    script = "import sys; print('building'); sys.exit('disk full')"
    with pytest.raises(ConfigurationError, match=r"exit code 1(.|\n)*disk full"):
        run_tool([sys.executable, "-c", script], cwd=tmp_path, progress=ignore, describe=str)


def test_a_running_tool_reports_its_progress(tmp_path: Path) -> None:
    said: list[str] = []
    script = "import sys; print('one', flush=True); sys.stdin.read(); import time; time.sleep(2.5)"
    run_tool([sys.executable, "-c", script], cwd=tmp_path, progress=said.append, describe=lambda lines: f"{len(lines)} lines")
    assert said == ["1 lines (2 s)"]
