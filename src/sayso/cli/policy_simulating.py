"""`sayso policy simulate`: one policy against the past, request by request, as a table of what would have been different.

The comparison is with the policy that counts today, by the directory of today on both sides, so that only the rules differ.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from sayso.cli.event_files import read_input, split_events
from sayso.cli.output import out, print_json, printable, say, table
from sayso.contracts.approval_plan import ApprovalPlan
from sayso.contracts.catalog import WORKFLOWS
from sayso.errors import MalformedError
from sayso.ledger.database import Transaction
from sayso.ledger.schema import cases
from sayso.policy.expectations import valid_request
from sayso.policy.loading import load_policy
from sayso.policy.planning import plan
from sayso.policy.rulebook import Rulebook, load_rulebook
from sayso.policy.rules import Policy
from sayso.policy.schedule import chain_in_words
from sayso.settings import Settings, load_settings
from sayso.stack_address import find_stack


@dataclass(frozen=True)
class Past:
    """Where the past is: a file, or the newest `limit` cases of the ledger; and when those were asked that do not say it."""

    file: str | None
    limit: int
    at: datetime | None


@dataclass(frozen=True)
class PastRequest:
    """One request as it was asked."""

    key: str
    request: dict[str, Any]
    asked_at: datetime
    outcome: str | None = None


@dataclass(frozen=True)
class Change:
    """What both policies say of one request. `change` is one of `same`, `asked`, `automatic`, `others`, `times`, `refused`."""

    key: str
    outcome: str | None
    before_rule: str
    before: str
    after_rule: str
    after: str
    change: str


IN_WORDS = {
    "same": "nothing changes",
    "asked": "now somebody is asked",
    "automatic": "now automatic",
    "others": "other people",
    "times": "other times or rules",
    "refused": "no answer",
}


def simulate_policy(named: str, past: Past, *, everything: bool, as_json: bool) -> int:
    """Print the changes; 1 if there are any."""
    settings = load_settings()
    rulebook = load_rulebook(settings)
    policy = _policy(named, rulebook, settings)
    changes = [_compared(one, policy, rulebook) for one in _past_requests(policy, past)]
    counts = Counter(change.change for change in changes)
    differ = len(changes) - counts["same"]
    if as_json:
        print_json({"policy": policy.name, "version": policy.version, "requests": len(changes), "counts": counts, "changes": changes})
        return 1 if differ else 0
    shown = changes if everything else [change for change in changes if change.change != "same"]
    if shown:
        out().print(table(("KEY", "OUTCOME", "RULE TODAY", "WHO TODAY", "RULE THEN", "WHO THEN", "CHANGE"), map(_cells, shown)))
    said = ", ".join(f"{count} {IN_WORDS[kind]}" for kind, count in counts.most_common())
    say((f"{len(changes)} requests: {said or 'none'}", "yellow" if differ else "green"))
    return 1 if differ else 0


def _policy(named: str, rulebook: Rulebook, settings: Settings) -> Policy:
    path = Path(named)
    if path.suffix == ".yaml" or path.exists():
        return load_policy(path, settings, rulebook.directory, rulebook.calendars)
    return rulebook.policies.named(named)


def _cells(change: Change) -> list[str]:
    cells = (
        change.key,
        change.outcome or "-",
        change.before_rule,
        change.before,
        change.after_rule,
        change.after,
        IN_WORDS[change.change],
    )
    return [printable(cell) for cell in cells]


def _past_requests(policy: Policy, past: Past) -> list[PastRequest]:
    if past.file is None:
        ledger = find_stack().ledger()
        try:
            return ledger.read(lambda tx: _cases(tx, policy.workflow, past.limit))
        finally:
            ledger.close()
    texts = split_events(read_input(past.file), past.file)
    now = past.at or datetime.now(UTC)
    return [_written(text, policy, f"{past.file}: request {number}", now) for number, text in enumerate(texts, start=1)]


def _written(text: str, policy: Policy, name: str, now: datetime) -> PastRequest:
    """A request, a CloudEvent with one as its data, or `{request, asked_at, outcome}`."""
    written = json.loads(text)
    if not isinstance(written, dict):
        raise MalformedError(f"{name}: it is no JSON object")
    data = written.get("request") if isinstance(written.get("request"), dict) else written.get("data", written)
    if not isinstance(data, dict):
        raise MalformedError(f"{name}: its data is no JSON object")
    request = valid_request(policy.workflow, data, name)
    asked_at, outcome = written.get("asked_at") or written.get("time"), written.get("outcome")
    try:
        moment = datetime.fromisoformat(asked_at).astimezone(UTC) if isinstance(asked_at, str) else now
    except ValueError as error:
        raise MalformedError(f'{name}: "{asked_at}" is no time') from error
    key = str(request[WORKFLOWS[policy.workflow].key_field])
    return PastRequest(key, request, moment, outcome if isinstance(outcome, str) else None)


def _cases(tx: Transaction, workflow: str, limit: int) -> list[PastRequest]:
    query = select(cases).where(cases.c.workflow == workflow).order_by(cases.c.opened_at_ms.desc(), cases.c.instance_id).limit(limit)
    return [
        PastRequest(row.key, json.loads(row.input)["request"], datetime.fromtimestamp(row.opened_at_ms / 1000, UTC), row.outcome)
        for row in tx.all(query)
    ]


def _compared(past: PastRequest, policy: Policy, rulebook: Rulebook) -> Change:
    counting = rulebook.policies.in_use.get(policy.workflow)
    before = _answer(counting, past, rulebook) if counting is not None else ("-", "no policy", None)
    after = _answer(policy, past, rulebook)
    return Change(past.key, past.outcome, before[0], before[1], after[0], after[1], kind_of_change(before[2], after[2]))


def _answer(policy: Policy, past: PastRequest, rulebook: Rulebook) -> tuple[str, str, ApprovalPlan | None]:
    try:
        found = plan(policy, past.request, rulebook.directory, past.asked_at)
    except MalformedError as error:
        return "-", str(error), None
    return found.rule, chain_in_words(found), found


def kind_of_change(before: ApprovalPlan | None, after: ApprovalPlan | None) -> str:
    if before is None or after is None:
        return "refused"
    if before.automatic is not after.automatic:
        return "automatic" if after.automatic else "asked"
    if chain_in_words(before) != chain_in_words(after):
        return "others"
    return "same" if (before.rounds, before.wait_in_all) == (after.rounds, after.wait_in_all) else "times"
