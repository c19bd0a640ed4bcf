"""`sayso explain`: a dry run. The bindings are asked as the router asks them, the ledger is only read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.text import Text

from sayso.cli.event_files import read_input, split_events
from sayso.cli.output import argument, out, print_json, printable, say, styled
from sayso.cli.signing import looked_at
from sayso.contracts.cloudevent import parse_event
from sayso.correlation.bindings import Bindings
from sayso.correlation.correlate import correlate
from sayso.correlation.verdict import Rejected, Resume, Start, Unmatched, Verdict
from sayso.errors import ConfigurationError, MalformedError
from sayso.ledger import Ledger
from sayso.ledger.queries.outlook import Outlook, outlook, outlook_without_ledger
from sayso.ledger.states import FAILED
from sayso.stack_address import StackAddress, find_stack


@dataclass(frozen=True)
class Explanation:
    """What the bindings say of one event, and what would become of it."""

    topic: str | None
    does: str | None
    verdict: Verdict
    outlook: Outlook

    @property
    def exit_code(self) -> int:
        """3 malformed, 4 not usable, otherwise 0."""
        if isinstance(self.verdict, Rejected):
            return MalformedError.exit_code
        return 4 if self.outlook.state in FAILED else 0


def explain_file(file: str, topic: str | None, *, as_json: bool) -> int:
    """Explain every event of the file; returns the exit code."""
    stack = find_stack()
    bindings = stack.bindings()
    ledger = _ledger_if_there(stack)
    try:
        found = [_explained(body, topic, bindings, stack, ledger) for body in _bodies(file)]
    finally:
        if ledger is not None:
            ledger.close()
    if as_json:
        print_json([_document(each, with_ledger=ledger is not None) for each in found])
    else:
        for each in found:
            _show(each)
    return max(each.exit_code for each in found)


def _ledger_if_there(stack: StackAddress) -> Ledger | None:
    try:
        return stack.ledger()
    except ConfigurationError as error:
        say(("without the ledger: ", "yellow"), f"{printable(error)}. Repetitions and open cases are not looked at.")
        return None


def _bodies(file: str) -> list[bytes]:
    """The file's events; a file that cannot be split is one message, as a broker would deliver it."""
    raw = read_input(file)
    try:
        return [text.encode() for text in split_events(raw, file)]
    except MalformedError:
        return [raw]


def _explained(body: bytes, topic: str | None, bindings: Bindings, stack: StackAddress, ledger: Ledger | None) -> Explanation:
    chosen = topic if topic is not None else _topic(bindings, body)
    verdict = looked_at(stack, correlate(bindings, chosen or "", body))
    if chosen is None and isinstance(verdict, Unmatched):
        verdict = Unmatched(f'no binding takes type "{verdict.event.type}" on any topic', verdict.event)
    if ledger is None:
        found = outlook_without_ledger(verdict, stack.settings)
    else:
        found = ledger.read(lambda tx: outlook(tx, chosen or "", body, verdict, stack.settings))
    binding = getattr(verdict, "binding", None)
    does = next((rule.does for rule in bindings.rules if rule.name == binding), None)
    return Explanation(chosen, does, verdict, found)


def _topic(bindings: Bindings, body: bytes) -> str | None:
    """The topic on which the bindings expect this type; several are the caller's to choose from."""
    try:
        event_type = parse_event(body).type
    except MalformedError:
        return None
    topics = sorted({rule.topic for rule in bindings.rules if rule.type == event_type})
    if len(topics) > 1:
        raise ConfigurationError(f'"{event_type}" comes on several topics: choose one with --topic {"|".join(topics)}')
    return topics[0] if topics else None


def _show(each: Explanation) -> None:
    event, verdict = each.verdict.event, each.verdict
    console = out()
    if event is not None:
        console.print(Text(f"event    {printable(event.type)}, id {printable(event.id)}, from {printable(event.source)}"))
    if each.topic is not None:
        console.print(Text(f"topic    {printable(each.topic)}"))
    if each.does is not None:
        console.print(Text(f"binding  {verdict.binding if not isinstance(verdict, Unmatched) else ''}: {each.does}"))
    if isinstance(verdict, Start | Resume):
        console.print(Text(f"key      {printable(verdict.key)}"))
    console.print(Text.assemble("result   ", styled(each.outlook.state), f": {printable(each.outlook.reason)}"))
    if each.outlook.case is not None:
        say(f"more of that case: sayso case {argument(each.outlook.case, each.outlook.case)}")


def _document(each: Explanation, *, with_ledger: bool) -> dict[str, Any]:
    event, verdict = each.verdict.event, each.verdict
    known = {"id": event.id, "source": event.source, "type": event.type} if event is not None else None
    return {
        "event": known,
        "topic": each.topic,
        "binding": getattr(verdict, "binding", None),
        "does": each.does,
        "workflow": getattr(verdict, "workflow", None),
        "key": getattr(verdict, "key", None),
        "state": each.outlook.state,
        "reason": each.outlook.reason,
        "case": each.outlook.case,
        "other_event": each.outlook.other,
        "ledger_asked": with_ledger,
    }
