"""Installs a tool into the user's cache once, however often and from however many processes it is asked for.

In: a target folder and a function that fills a work folder. Out: the target folder.
Invariant: the target exists only when it is complete. It appears by one rename, under a lock that lives beside it, and
what an interrupted attempt left behind is thrown away by the next one.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from filelock import FileLock, Timeout

from sayso.errors import ConfigurationError

Progress = Callable[[str], None]

TICK_SECONDS = 2.0
TAIL_LINES = 15


def cache_folder(tool: str) -> Path:
    """Folder in the user's cache that holds the installed versions of `tool`."""
    return platformdirs.user_cache_path("sayso") / tool


def install_once(target: Path, fill: Callable[[Path], Path], progress: Progress) -> Path:
    """Return `target`; when it is missing, `fill(work folder)` makes the folder that becomes it.

    The work folder's path is the same each time, so that compilers find their own caches again after an interruption.
    """
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _exclusive(target.parent / f".{target.name}.lock", progress):
        if target.is_dir():
            return target
        work = target.parent / f".{target.name}.work"
        remove_folder(work)
        work.mkdir()
        try:
            fill(work).rename(target)
        finally:
            remove_folder(work)
    return target


def remove_folder(folder: Path) -> None:
    """Remove `folder` if it is there, also what was copied from read-only folders."""
    if not folder.exists():
        return
    make_writable(folder)
    shutil.rmtree(folder)


def make_writable(folder: Path) -> None:
    """Let the owner write below `folder`: Go's module cache is read-only, and so is a copy of it."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | stat.S_IWUSR)


def run_tool(
    command: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    progress: Progress,
    describe: Callable[[list[str]], str],
) -> None:
    """Run `command` to its end; every two seconds report `describe(lines so far)` and the elapsed time.

    `ConfigurationError` carries the last lines of output. The process never outlives this call.
    """
    started = time.monotonic()
    lines: list[str] = []
    with subprocess.Popen(  # noqa: S603 - fixed commands of this package
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        reader = threading.Thread(target=_collect, args=(process, lines), daemon=True)
        reader.start()
        try:
            while not _ended(process):
                progress(f"{describe(lines)} ({time.monotonic() - started:.0f} s)")
        finally:
            _stop(process)
        reader.join()
    if process.returncode != 0:
        tail = "\n".join(deque(lines, maxlen=TAIL_LINES)) or "(it printed nothing)"
        raise ConfigurationError(f"`{' '.join(command)}` failed with exit code {process.returncode}. It said:\n{tail}")


def _collect(process: subprocess.Popen[str], lines: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip())  # noqa: PERF401 - the caller counts them while they come


def _ended(process: subprocess.Popen[str]) -> bool:
    try:
        process.wait(TICK_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _stop(process: subprocess.Popen[str]) -> None:
    """Ctrl-C reaches the tool by the terminal; an error of our own does not."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()


@contextmanager
def _exclusive(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock file; say so once when another process holds it."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress("another sayso process is installing the same; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
