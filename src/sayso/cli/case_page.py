"""The page of one case: a header that says where it stands, and its timeline.

In: what a person typed. Out: one case, or an error that says which cases it could mean. When the sidecar answers, the workflow
engine's history is merged into the timeline; when it does not, the ledger alone tells the story.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.text import Text

from sayso.cli.output import ago, argument, clock, out, print_json, printable, say, shortened, styled, when
from sayso.contracts.catalog import DECISION_EVENTS, WORKFLOWS
from sayso.contracts.taken_in_turn import taken_in
from sayso.errors import ConfigurationError, SaysoError, TransientError
from sayso.ledger.database import Transaction
from sayso.ledger.queries.cases import find_cases
from sayso.ledger.queries.compensations import CompensationView, list_compensations
from sayso.ledger.queries.progress import Progress, progress_of
from sayso.ledger.queries.timeline import Entry, timeline_of
from sayso.ledger.queries.views import CaseView
from sayso.policy import POLICIES
from sayso.stack_address import StackAddress, find_stack

if TYPE_CHECKING:
    from sayso.engine import HistoryEntry, InstanceState  # gRPC takes a moment to load

APP_ID = "sayso"
COMPENSATIONS_MAX = 100
BAR_COLUMNS = 32
KIND_STYLES = {"decision": "bold", "ended": "bold", "state": "cyan", "published": "magenta", "engine": "dim", "step": "green"}


class NoSuchCaseError(SaysoError):
    """Nothing in the ledger has this key or instance id."""


@dataclass(frozen=True)
class Reference:
    """What a person typed to name a case."""

    text: str
    workflow: str | None = None
    generation: int | None = None


@dataclass(frozen=True)
class CasePage:
    """One case and its timeline. `engine` is None when the sidecar did not answer."""

    case: CaseView
    timeline: list[Entry]
    engine: InstanceState | None = None
    compensations: Sequence[CompensationView] = ()
    """Undos that failed, settled or not."""
    progress: Progress | None = None


def show_case(reference: Reference, *, as_json: bool) -> None:
    """Print the page."""
    stack = find_stack()
    ledger = stack.ledger()
    try:
        page = with_engine(stack, ledger.read(partial(page_of, reference=reference)))
    finally:
        ledger.close()
    if as_json:
        print_json(document_of(page))
        return
    console = out()
    for line in header_lines(page):
        console.print(line)
    console.print()
    for entry in page.timeline:
        console.print(entry_line(entry))
    _suggest(page.case)


def page_of(tx: Transaction, reference: Reference) -> CasePage:
    """The page of the one case that is meant, as the ledger knows it."""
    case = the_case(tx, reference)
    failed = list_compensations(tx, limit=COMPENSATIONS_MAX, instance_id=case.instance_id, also_settled=True)
    return CasePage(case, timeline_of(tx, case), compensations=failed, progress=progress_of(tx, case))


def the_case(tx: Transaction, reference: Reference) -> CaseView:
    """The one case that is meant."""
    found = find_cases(tx, reference.text, reference.workflow, reference.generation)
    if not found:
        raise NoSuchCaseError(
            f"no case {printable(reference.text)}{_other_generations(tx, reference)}; see: sayso cases, sayso events"
        )
    if len(found) > 1:
        workflows = ", ".join(case.workflow for case in found)
        raise ConfigurationError(f"several cases have the key {printable(reference.text)} ({workflows}); say which: --workflow NAME")
    return found[0]


def with_engine(stack: StackAddress, page: CasePage) -> CasePage:
    """The page with the engine's history, if the engine can be asked."""
    if page.case.phase == "starting":
        return page
    try:
        engine = stack.engine()
        state, history = engine.state(page.case.engine_id), engine.history(page.case.engine_id)
    except TransientError as error:
        say(("without the engine's history: ", "yellow"), printable(error))
        return page
    told = [entry for entry in history if page.progress is None or entry.name != page.progress.step]
    merged = sorted([*page.timeline, *_engine_entries(told), *_last_steps(state)], key=lambda entry: entry.place)
    return dataclasses.replace(page, timeline=merged, engine=state)


def _engine_entries(history: Sequence[HistoryEntry]) -> Iterator[Entry]:
    """Activities scheduled and completed, events raised, timers that fired. A completion has no name but its call's number."""
    asked = {each.number: each.name or "?" for each in history if each.kind == "TASK_SCHEDULED"}
    for each in history:
        at = each.at if each.at.tzinfo else each.at.replace(tzinfo=UTC)
        if each.kind == "TASK_SCHEDULED":
            yield Entry(at, "engine", f"engine: {each.name} scheduled")
        elif each.kind in ("TASK_COMPLETED", "TASK_FAILED") and each.answers in asked:
            yield Entry(at, "engine", f"engine: {asked[each.answers]} {each.kind.removeprefix('TASK_').lower()}")
        elif each.kind == "EVENT_RAISED":
            yield Entry(at, "engine", f"engine: {each.name} raised")
        elif each.kind == "TIMER_FIRED":
            yield Entry(at, "engine", "engine: a timer fired")


def _last_steps(state: InstanceState | None) -> Iterator[Entry]:
    """What was done within the last turn is not in the history."""
    if state is None:
        return
    for step, _ in taken_in(state.custom_status):
        yield Entry(state.updated_at.replace(tzinfo=UTC), "engine", f"engine: {step.step} done within the last turn")


def header_lines(page: CasePage) -> Iterator[Text]:
    """Where the case stands."""
    case = page.case
    yield Text.assemble((printable(case.key), "bold"), f"  {case.workflow}, generation {case.generation}")
    yield _line("request", POLICIES[case.workflow].describe(case.request) + _requester(case))
    yield Text.assemble(f"{'status':<10}", styled(case.status), _waiting(case))
    if page.progress is not None:
        yield Text.assemble(f"{'progress':<10}", bar(page.progress))
    if case.phase == "closed":
        yield _line("result", case.result if isinstance(case.result, str) else json.dumps(case.result))
        if case.reason:
            yield _line("reason", case.reason)
        if case.milestones:
            yield _line("did", ", ".join(case.milestones))
    yield _line("opened", when(case.opened_at))
    if case.closed_at is not None:
        yield _line("ended", f"{when(case.closed_at)}, after {_length(case.opened_at, case.closed_at)}")
    if case.last_error is not None:
        yield Text.assemble((f"{'error':<10}", "red"), printable(case.last_error), f" (attempt {case.attempts})")
    if case.finding is not None:
        yield Text.assemble((f"{'found':<10}", "red"), printable(case.finding))
    for each in page.compensations:
        settled = (
            f"settled by {each.settled_by}: {each.settled_reason}" if each.settled_at is not None else "not settled: sayso saga list"
        )
        yield Text.assemble((f"{'undo':<10}", "red"), f"{each.undo} failed: {printable(each.error)}; {printable(settled)}")
    engine = page.engine
    state = f", {engine.status}{f': {engine.failure}' if engine.failure else ''}" if engine is not None else ""
    yield _line("instance", case.instance_id + state)


def bar(progress: Progress) -> Text:
    """`━━━━━━━━━━──────────────────────  412 of 1,000 items`."""
    full = BAR_COLUMNS * progress.done // progress.of if progress.of else BAR_COLUMNS
    counts = f"  {progress.done:,} of {progress.of:,} {progress.noun}"
    return Text.assemble(("━" * full, "green"), ("─" * (BAR_COLUMNS - full), "dim"), counts)


def entry_line(entry: Entry) -> Text:
    """`06:22:58.708  event 1 arrived: …`, in local time."""
    at = entry.at.astimezone()
    stamp = f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"
    return Text.assemble((stamp, "dim"), f"  {ago(entry.at):>10}  ", (printable(entry.text), KIND_STYLES.get(entry.kind, "")))


def document_of(page: CasePage) -> dict[str, Any]:
    """The page as JSON-ready data."""
    return {
        "case": page.case,
        "status": page.case.status,
        "engine": page.engine,
        "progress": page.progress,
        "raise_command": raise_command(page.case) if page.case.phase != "closed" and decision_event(page.case.workflow) else None,
        "compensations": page.compensations,
        "timeline": page.timeline,
    }


def raise_command(case: CaseView) -> str:
    """How Dapr's own CLI would raise a decision, past the topics; it passes the same gate."""
    payload = json.dumps({"approved": True, "approver": "alice"}, separators=(",", ":"))
    return f"dapr workflow raise-event {case.engine_id}/{decision_event(case.workflow)} --app-id {APP_ID} --input '{payload}'"


def decision_event(workflow: str) -> str | None:
    """The name under which a decision wakes this workflow; None when it asks nobody."""
    return next((name for name in DECISION_EVENTS if name in WORKFLOWS[workflow].events), None)


def _suggest(case: CaseView) -> None:
    if case.phase == "closed":
        return
    name = argument(case.key, case.instance_id)
    if case.stage == "waits for approval":
        say(f"decide: sayso decide {name} approve|reject --as USER")
        say(f"or with Dapr's own CLI: {raise_command(case)}")
    say(f"follow: sayso case {name} --watch")


def _line(name: str, text: str) -> Text:
    return Text(f"{name:<10}{printable(text)}")


def _requester(case: CaseView) -> str:
    requester = case.request.get("requester")
    return f", requested by {requester}" if requester else ""


def _waiting(case: CaseView) -> str:
    if case.phase == "closed" or case.stage is None:
        return ""
    until = f" until {clock(case.waits_until)} ({ago(case.waits_until)})" if case.waits_until is not None else ""
    return f", {shortened(case.stage, 80)}{until}"


def _length(start: datetime, end: datetime) -> str:
    seconds = (end - start).total_seconds()
    return f"{seconds:.1f} s" if seconds < 120 else ago(start, end).removesuffix(" ago")


def _other_generations(tx: Transaction, reference: Reference) -> str:
    if reference.generation is None:
        return ""
    found = find_cases(tx, reference.text, reference.workflow)
    return f" of generation {reference.generation} (the latest is {found[0].generation})" if found else ""
