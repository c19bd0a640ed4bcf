"""`make proof`: thousands of seeds on all cores, resumable, and a report.

In: how many deliveries on which ledger. Out: a line a seed in `.sayso/proof/LEDGER.jsonl`, and `docs/proof/simulation.md` made of all
lines (`proof_report.py`). A seed that is in the file is not run again. Findings stop nothing; the exit code says that there are some.
With `--mutations` instead: `docs/proof/mutations.md` (`proof_mutations.py`).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import count
from pathlib import Path
from typing import Any

from sayso.simulator.finding import Finding
from sayso.simulator.proof_mutations import write_page
from sayso.simulator.proof_report import WANTED, report
from sayso.simulator.run import Report, Run, simulate

FOLDER = Path(".sayso/proof")
REPORT = Path("docs/proof/simulation.md")
CODE = ("src", "subscribers", "worker", "config", "pyproject.toml", "uv.lock")
"""Where a change makes the results those of another code."""
NICE = 10
SEEDS_A_PROCESS = 50


class Proof:
    """One ledger's seeds."""

    def __init__(self, ledger: str, deliveries: int, each: int) -> None:
        self.ledger = ledger
        self.path = FOLDER / f"{ledger}.jsonl"
        self._wanted = deliveries
        self._each = each
        done = list(lines(self.path))
        self._known = {line["seed"] for line in done}
        self.total = self._at_start = sum(line["deliveries"] for line in done)
        self._seeds = (seed for seed in count(1) if seed not in self._known)
        self._begun = time.monotonic()
        self._commit = commit()

    def run(self, processes: int) -> None:
        """Run seeds until the ledger has its deliveries. When it is interrupted, those in hand are finished."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        spawned = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(processes, spawned, initializer=_be_modest, max_tasks_per_child=SEEDS_A_PROCESS)
        running: set[Future[Report]] = set()
        with self.path.open("a", encoding="utf-8") as file, pool:
            try:
                while self.total < self._wanted and commit() == self._commit:
                    running |= {
                        pool.submit(judged, Run(next(self._seeds), self._each, self.ledger)) for _ in range(processes - len(running))
                    }
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    self._keep(file, done)
            finally:
                self._keep(file, wait(running).done)
        if self.total < self._wanted:
            say(f"{self.ledger}: the code is no longer that of {self._commit}; start again for the rest")

    def _keep(self, file: Any, done: set[Future[Report]]) -> None:
        for future in done:
            line = {**dataclasses.asdict(future.result()), "events": self._each, "commit": self._commit}
            file.write(json.dumps(line) + "\n")
            file.flush()
            self.total += line["deliveries"]
            say(self._progress(line))

    def _progress(self, line: dict[str, Any]) -> str:
        rate = (self.total - self._at_start) / (time.monotonic() - self._begun)
        minutes_left = max(0, self._wanted - self.total) / rate / 60
        return (
            f"{self.ledger}: seed {line['seed']}, {len(line['findings'])} findings; {self.total:,} of {self._wanted:,}, "
            f"{rate:,.0f} a second, {minutes_left:.0f} minutes left"
        )


def judged(run: Run) -> Report:
    """A run that cannot be brought to its end is a finding, and does not end the others."""
    try:
        return simulate(run)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is in the report with its seed
        finding = Finding("internal error", "the run", f"{type(error).__name__}: {error}")
        return Report(run.seed, run.ledger, 0, 0, 0, 0, 0, 0.0, findings=(finding,))


def _be_modest() -> None:
    """Whoever interrupts the proof speaks to its first process; other work on the machine goes first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.nice(NICE)


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """The seeds that were done; a last line that a kill has cut is left out."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.endswith("}"):
                yield json.loads(line)


def write_report() -> bool:
    """From all lines; returns whether there are no findings."""
    found = {ledger: list(lines(FOLDER / f"{ledger}.jsonl")) for ledger in WANTED}
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(report(found), encoding="utf-8")
    return not any(line["findings"] for runs in found.values() for line in runs)


def commit() -> str:
    """The last that changed the code, in short; with a + when it was changed since."""
    found = _git("log", "-1", "--format=%h", "--", *CODE) or "unknown"
    return found + ("+" if _git("status", "--porcelain", "--", *CODE) else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603, S607


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def main() -> int:
    """Both ledgers, then the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ledger", choices=WANTED, action="append", help="only this one; several times")
    parser.add_argument("--deliveries", type=int, help="instead of the whole number")
    parser.add_argument("--events", type=int, help="at least so many deliveries a seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--fresh", action="store_true", help="forget the seeds that were run before")
    parser.add_argument("--report", action="store_true", help="only write the report")
    parser.add_argument("--mutations", action="store_true", help="only the mutations, and their page")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if asked.mutations:
        return 0 if write_page() else 1
    try:
        for ledger in () if asked.report else asked.ledger or WANTED:
            if asked.fresh:
                (FOLDER / f"{ledger}.jsonl").unlink(missing_ok=True)
            wanted, each = WANTED[ledger]
            Proof(ledger, asked.deliveries or wanted, asked.events or each).run(asked.processes)
    except KeyboardInterrupt:
        say("stopped; the same command goes on from here")
    finally:
        well = write_report()
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
