"""`make proof`: thousands of seeds on all cores, resumable, and a report.

In: how many deliveries on which ledger. Out: a line a seed (`proof_lines.py`), in `.sayso/proof/` while it runs, in `docs/proof/*.csv`
at its end; `docs/proof/simulation.md`, made of all lines (`proof_report.py`); and `docs/proof/mutations.md` (`proof_mutations.py`).
A seed that is known is not run again: it was run here, or is checked in for this very code. Findings stop nothing; the exit code says
that there are some.
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
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import count
from pathlib import Path
from typing import Any

from sayso.simulator import proof_lines
from sayso.simulator.finding import Finding
from sayso.simulator.proof_lines import Line
from sayso.simulator.proof_mutations import write_page
from sayso.simulator.proof_report import WANTED, report
from sayso.simulator.run import Report, Run, simulate

REPORT = Path("docs/proof/simulation.md")
CODE = ("src", "subscribers", "worker", "config", "pyproject.toml", "uv.lock")
"""Where a change makes the results those of another code."""
NICE = 10
SEEDS_A_PROCESS = 50


class Proof:
    """One ledger's seeds."""

    def __init__(self, ledger: str, deliveries: int, each: int, *, fresh: bool = False) -> None:
        self.ledger = ledger
        self._wanted = deliveries
        self._each = each
        self._commit = commit()
        done = [] if fresh else proof_lines.lines(ledger, self._commit)
        self._known = {line["seed"] for line in done}
        self.total = self._at_start = sum(line["deliveries"] for line in done)
        self._seeds = (seed for seed in count(1) if seed not in self._known)
        self._begun = time.monotonic()

    def run(self, processes: int) -> None:
        """Run seeds until the ledger has its deliveries. When it is interrupted, those in hand are finished."""
        path = proof_lines.local_path(self.ledger)
        path.parent.mkdir(parents=True, exist_ok=True)
        spawned = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(processes, spawned, initializer=_be_modest, max_tasks_per_child=SEEDS_A_PROCESS)
        running: set[Future[Report]] = set()
        with path.open("a", encoding="utf-8") as file, pool:
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
            line = line_of(future.result(), self._each, self._commit)
            file.write(json.dumps(line) + "\n")
            file.flush()
            self.total += line["deliveries"]
            say(self._progress(line))

    def _progress(self, line: Line) -> str:
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


def line_of(report: Report, events: int, of_commit: str) -> Line:
    """What is kept of a run: plain values, as they are read again."""
    line: Line = json.loads(json.dumps({**dataclasses.asdict(report), "events": events, "commit": of_commit}))
    return line


def write_report(of_commit: str | None = None) -> bool:
    """From all lines, which are checked in with it; returns whether there are no findings."""
    found = {ledger: proof_lines.lines(ledger, of_commit) for ledger in WANTED}
    for ledger, known in found.items():
        if known:
            proof_lines.check_in(ledger, known)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(report(found), encoding="utf-8")
    return not any(line["findings"] for runs in found.values() for line in runs)


def run_again(ledger: str, seed: int) -> bool:
    """Run one seed and compare it with what is known of it; returns whether it is the same."""
    known = next((line for line in proof_lines.lines(ledger) if line["seed"] == seed), None)
    if known is None:
        say(f"{ledger}: seed {seed} is not in {proof_lines.checked_in_path(ledger)}")
        return False
    differs = proof_lines.difference(known, line_of(judged(Run(seed, known["events"], ledger)), known["events"], commit()))
    of_commit = "" if known["commit"] == commit() else f" (it was run by commit {known['commit']}, this is {commit()})"
    say(f"{ledger}: seed {seed} {'differs: ' + '; '.join(differs) if differs else 'gives the same again'}{of_commit}")
    return not differs


def commit() -> str:
    """The last that changed the code, in short; with a + when it was changed since."""
    found = _git("log", "-1", "--format=%h", "--", *CODE) or "unknown"
    return found + (proof_lines.CHANGED if _git("status", "--porcelain", "--", *CODE) else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603, S607


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def main() -> int:
    """Both ledgers, the report, the mutations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ledger", choices=WANTED, action="append", help="only this one; several times")
    parser.add_argument("--deliveries", type=int, help="instead of the whole number")
    parser.add_argument("--events", type=int, help="at least so many deliveries a seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--fresh", action="store_true", help="forget the seeds that were run before")
    parser.add_argument("--report", action="store_true", help="only write the report")
    parser.add_argument("--mutations", action="store_true", help="only the mutations, and their page")
    parser.add_argument("--again", type=int, metavar="SEED", help="only run this seed, and compare it with what is checked in")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if asked.again is not None:
        return 0 if all(run_again(ledger, asked.again) for ledger in asked.ledger or WANTED) else 1
    if asked.mutations:
        return 0 if write_page(commit()) else 1
    if asked.report:
        return 0 if write_report() else 1
    caught = True
    try:
        for ledger in asked.ledger or WANTED:
            if asked.fresh:
                proof_lines.local_path(ledger).unlink(missing_ok=True)
            wanted, each = WANTED[ledger]
            Proof(ledger, asked.deliveries or wanted, asked.events or each, fresh=asked.fresh).run(asked.processes)
        caught = bool(asked.ledger) or write_page(commit())
    except KeyboardInterrupt:
        say("stopped; the same command goes on from here")
    finally:
        well = write_report(commit())
    return 0 if well and caught else 1


if __name__ == "__main__":
    sys.exit(main())
