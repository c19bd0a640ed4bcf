"""Replaying and giving up: each chosen event in a transaction of its own, in ledger order.

Invariant: a dry run asks the same questions and writes nothing; a run that is repeated finds nothing left to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from rich.text import Text

from sayso.cli.dead_choice import Choice
from sayso.cli.dead_verdicts import judged
from sayso.cli.output import argument, out, print_json, printable, say, styled
from sayso.cli.publishing import warn_of_old_bindings
from sayso.correlation.bindings import Bindings
from sayso.errors import ConfigurationError, RefusedError
from sayso.ledger import Ledger
from sayso.ledger.dead import Answer, give_up, look_at_giving_up, look_at_replay, replay
from sayso.settings import Settings
from sayso.signing.notary import Vouch
from sayso.stack_address import StackAddress, find_stack

NOTHING_CHOSEN = 1
Change = Callable[[Ledger, int], Answer | None]


def replay_events(choice: Choice, actor: str, *, dry_run: bool, as_json: bool) -> int:
    """Drive them again; returns the exit code."""
    choice.must_be_made()
    who = _named(actor, dry_run=dry_run)
    stack = find_stack()
    change = _Replay(stack.bindings(), stack.notary().vouch, stack.settings, who, dry_run)
    return _change_all(stack, choice, change, _Words("replayed", "would be", dry_run), as_json=as_json)


def give_up_events(choice: Choice, actor: str, comment: str, *, dry_run: bool, as_json: bool) -> int:
    """Put them to rest; returns the exit code."""
    choice.must_be_made()
    who = _named(actor, dry_run=dry_run)
    if not comment.strip() and not dry_run:
        raise ConfigurationError('say why: --comment "the order was cancelled by phone"')

    def change(ledger: Ledger, seq: int) -> Answer:
        if dry_run:
            return ledger.read(partial(look_at_giving_up, seq=seq))
        return ledger.transact(partial(give_up, seq=seq, actor=who, comment=comment.strip()))

    return _change_all(find_stack(), choice, change, _Words("given up", "would be", dry_run), as_json=as_json)


def _named(actor: str, *, dry_run: bool) -> str:
    if not actor.strip() and not dry_run:
        raise ConfigurationError("say who does it: --as USER; it is kept in the audit log")
    return actor.strip()


@dataclass(frozen=True)
class _Replay:
    bindings: Bindings
    vouch: Vouch
    settings: Settings
    actor: str
    dry_run: bool

    def __call__(self, ledger: Ledger, seq: int) -> Answer | None:
        seen = judged(ledger, self.bindings, self.vouch, seq)
        if seen is None:
            return None
        if self.dry_run:
            return ledger.read(partial(look_at_replay, judged=seen, settings=self.settings))
        return ledger.transact(partial(replay, judged=seen, settings=self.settings, actor=self.actor))


@dataclass(frozen=True)
class _Words:
    """How what was done is called, or what would be."""

    done: str
    foretold: str
    dry_run: bool

    @property
    def summary(self) -> str:
        """For the last line."""
        return f"{self.foretold} {self.done}" if self.dry_run else self.done


def _change_all(stack: StackAddress, choice: Choice, change: Change, words: _Words, *, as_json: bool) -> int:
    ledger = stack.ledger()
    if isinstance(change, _Replay):
        warn_of_old_bindings(stack, ledger, change.bindings)
    counts: Counter[bool] = Counter()
    answers = []
    try:
        for answer in _answers(ledger, choice, change):
            counts[answer.done] += 1
            if as_json:
                answers.append(answer)
            else:
                out().print(_line(answer, words))
    finally:
        ledger.close()
    if as_json:
        print_json({"dry_run": words.dry_run, "events": answers})
    else:
        _say_sum(counts, words)
    if not counts:
        return NOTHING_CHOSEN
    return RefusedError.exit_code if counts[False] else 0


def _answers(ledger: Ledger, choice: Choice, change: Change) -> Iterator[Answer]:
    for seq in choice.numbers(ledger):
        answer = change(ledger, seq)
        if answer is not None:
            yield answer


def _line(answer: Answer, words: _Words) -> Text:
    number = f"event {answer.event}: "
    if not answer.done:
        return Text.assemble(number, ("stays", "yellow"), f": {printable(answer.reason)}")
    verb = f"{words.foretold} " if words.dry_run else f"{words.done}; {words.foretold} "
    return Text.assemble(number, verb, styled(answer.state), f": {printable(answer.reason)}")


def _say_sum(counts: Counter[bool], words: _Words) -> None:
    if not counts:
        say("no event failed that is chosen so")
        return
    stays = f", {counts[False]} stay as they are" if counts[False] else ""
    follow = "" if words.dry_run or not counts[True] else f"; what became of one: sayso event {argument('#NUMBER', '#NUMBER')}"
    say(f"{counts[True]} {words.summary}{stays}{follow}")
