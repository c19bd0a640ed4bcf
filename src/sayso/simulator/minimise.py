"""Minimising: the fewest messages that still make a run fail, written to a file that can be replayed.

In: a failing run. Out: a run with fewer messages, and perhaps another seed, that breaks the same rule. Messages are taken away a
half, a quarter, … one at a time; since fewer messages make other dice, each attempt tries a few seeds.
"""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

from sayso.errors import ConfigurationError
from sayso.simulator.observed import Intent
from sayso.simulator.run import Report, Run, simulate, simulate_world
from sayso.simulator.scenarios import USUAL
from sayso.simulator.traffic import Message

SEEDS_EACH = 6
ATTEMPTS_MAX = 400


class _Search:
    def __init__(self, run: Run, rule: str) -> None:
        self.run = run
        self._rule = rule
        self._attempts = 0

    def shrink(self, messages: list[Message]) -> None:
        """Keep what fails; halve the size of what is taken away until it is one message."""
        size = max(1, len(messages) // 2)
        while size >= 1 and self._attempts < ATTEMPTS_MAX:
            kept = list(self.run.messages or messages)
            shrunk = False
            for start in range(0, len(kept), size):
                if self._fails(kept[:start] + kept[start + size :]):
                    shrunk = True
                    break
            if not shrunk:
                if size == 1:
                    return
                size = max(1, size // 2)
            else:
                size = min(size, max(1, len(self.run.messages or ()) // 2))

    def only(self, messages: list[Message]) -> bool:
        """Whether these alone fail, with one of many seeds."""
        return any(self._fails(messages) for _ in range(5))

    def _fails(self, messages: list[Message]) -> bool:
        if not messages:
            return False
        for offset in range(SEEDS_EACH):
            self._attempts += 1
            seed = self.run.seed if offset == 0 else self.run.seed * 31 + self._attempts
            candidate = dataclasses.replace(self.run, seed=seed, messages=tuple(messages))
            if any(finding.rule == self._rule for finding in simulate(candidate).findings):
                self.run = candidate
                return True
        return False


def minimise(run: Run, report: Report) -> Run:
    """The smallest failing run that was found; `run` itself, with its messages, when none is smaller."""
    _, messages = simulate_world(run)
    finding = report.findings[0]
    search = _Search(dataclasses.replace(run, ledger="memory" if run.ledger == "sqlite" else run.ledger), finding.rule)
    of_its_key = [message for message in messages if message.key and message.key in finding.about.replace(")", " ").split()]
    if of_its_key and search.only(of_its_key):
        search.shrink(of_its_key)
    else:
        search.shrink(messages)
    return search.run if search.run.messages is not None else dataclasses.replace(run, messages=tuple(messages))


def write_run(run: Run, path: Path) -> None:
    """As JSON lines: the run, then its messages."""
    head = {"seed": run.seed, "ledger": run.ledger, "mutation": run.mutation, "scenario": run.scenario}
    lines = [head, *(_message_fields(message) for message in run.messages or ())]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def read_run(path: Path) -> Run:
    """What `write_run` wrote; `ConfigurationError` for any other file."""
    try:
        head, *rest = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
        messages = tuple(Message(**fields | {"body": _body(fields), "intent": Intent(fields["intent"])}) for fields in rest)
        return Run(head["seed"], 0, head["ledger"], head["mutation"], messages, scenario=head.get("scenario", USUAL))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{path}: not a run that `sayso simulate` wrote") from error


def _message_fields(message: Message) -> dict[str, Any]:
    fields = dataclasses.asdict(message)
    try:
        return fields | {"body": message.body.decode()}
    except UnicodeDecodeError:
        return fields | {"body": {"base64": base64.b64encode(message.body).decode()}}


def _body(fields: dict[str, Any]) -> bytes:
    body = fields["body"]
    return base64.b64decode(body["base64"]) if isinstance(body, dict) else str(body).encode()
