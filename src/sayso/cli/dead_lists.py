"""What failed: the list, and one event with what a replay would do."""

from __future__ import annotations

from functools import partial

from rich.text import Text

from sayso.cli.dead_choice import Choice
from sayso.cli.dead_verdicts import judged
from sayso.cli.event_lists import event_document, event_table
from sayso.cli.event_page import no_such_event, show_detail, show_several
from sayso.cli.output import out, print_json, printable, say, styled
from sayso.ledger.dead import Answer, look_at_replay
from sayso.ledger.queries.dead import STATES, count_dead, list_dead
from sayso.ledger.queries.events import detail_of, find_events
from sayso.stack_address import find_stack


def show_dead(choice: Choice, limit: int, *, as_json: bool) -> None:
    """The newest of them, and how many there are in all."""
    ledger = find_stack().ledger()
    try:
        found = ledger.read(partial(list_dead, wanted=choice.wanted, limit=limit))
        counts = ledger.read(partial(count_dead, wanted=choice.wanted))
    finally:
        ledger.close()
    if as_json:
        print_json({"counts": counts, "events": [event_document(each) for each in found]})
        return
    if not found:
        say("no event failed" if choice.wanted.is_empty else "no such event failed")
        return
    out().print(event_table(found))
    total = ", ".join(f"{counts[state]} {state}" for state in STATES if state in counts)
    more = f"; {len(found)} shown, more with --limit" if sum(counts.values()) > len(found) else ""
    say(f"{total}{more}; what a replay would do: sayso dead replay '#{found[0].number}' --dry-run")


def show_one(reference: str, source: str | None, *, as_json: bool) -> int:
    """The page of one event, and the answer of a replay; 1 and a list when several are meant."""
    stack = find_stack()
    ledger = stack.ledger()
    try:
        found = ledger.read(partial(find_events, reference=reference, source=source))
        if not found:
            raise no_such_event(reference, source)
        if len(found) > 1:
            return show_several(reference, found, as_json=as_json)
        detail = ledger.read(partial(detail_of, event=found[0]))
        seen = judged(ledger, stack.bindings(), stack.notary().vouch, found[0].number)
        answer = ledger.read(partial(look_at_replay, judged=seen, settings=stack.settings)) if seen is not None else None
    finally:
        ledger.close()
    if as_json:
        print_json({"event": event_document(detail.event), "case": detail.case, "audit": detail.audit, "replay": answer})
        return 0
    show_detail(detail, as_json=False)
    if answer is not None:
        out().print(Text.assemble("replay    ", *in_words(answer)))
    return 0


def in_words(answer: Answer) -> tuple[Text | str, ...]:
    """What would become of it, or why nothing would."""
    if answer.done:
        return ("would be ", styled(answer.state), f": {printable(answer.reason)}")
    return (f"would change nothing: {printable(answer.reason)}",)
