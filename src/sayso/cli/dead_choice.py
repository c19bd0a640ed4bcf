"""Which failed events a person means: by id or number, or by filter.

In: what was typed. Out: the filter, and the numbers that it finds. Invariant: nothing typed means nothing chosen, unless `--all`
says so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from pydantic import TypeAdapter, ValidationError

from sayso.cli.event_page import no_such_event
from sayso.cli.output import printable
from sayso.errors import ConfigurationError
from sayso.ledger import Ledger
from sayso.ledger.queries.dead import DeadFilter, dead_numbers
from sayso.ledger.queries.events import find_events

_TIME: TypeAdapter[datetime] = TypeAdapter(datetime)
_SPAN: TypeAdapter[timedelta] = TypeAdapter(timedelta)


@dataclass(frozen=True)
class Choice:
    """Events named one by one, and the filter that all chosen ones must pass."""

    references: tuple[str, ...]
    wanted: DeadFilter
    everything: bool

    @classmethod
    def of(
        cls,
        references: list[str],
        states: list[str] | None,
        event_type: str | None,
        topic: str | None,
        key: str | None,
        case: str | None,
        reason: str | None,
        since: str | None,
        until: str | None,
        *,
        everything: bool,
    ) -> Choice:
        """Read what was typed; `ConfigurationError` says what is not understood."""
        wanted = DeadFilter(
            tuple(states or ()), event_type, topic, key, case, reason, moment_of("--since", since), moment_of("--until", until)
        )
        return cls(tuple(references), wanted, everything)

    def must_be_made(self) -> None:
        """Raise `ConfigurationError` when nothing was typed that chooses."""
        if not self.references and self.wanted.is_empty and not self.everything:
            raise ConfigurationError("say which events: their ids or numbers, a filter such as --state or --reason, or --all")

    def numbers(self, ledger: Ledger) -> list[int]:
        """The numbers of the chosen events, in ledger order; those named are taken in whatever state they are."""
        if self.references:
            named = [self._number(ledger, reference) for reference in self.references]
            if self.wanted.is_empty:
                return sorted(set(named))
            return ledger.read(partial(dead_numbers, wanted=replace(self.wanted, numbers=tuple(named))))
        self.must_be_made()
        return ledger.read(partial(dead_numbers, wanted=self.wanted))

    @staticmethod
    def _number(ledger: Ledger, reference: str) -> int:
        found = ledger.read(partial(find_events, reference=reference))
        if not found:
            raise no_such_event(reference)
        if len(found) > 1:
            numbers = ", ".join(f"#{each.number}" for each in found)
            raise ConfigurationError(f"{len(found)} events are called {printable(reference)}; choose by number: {numbers}")
        return found[0].number


def moment_of(option: str, text: str | None) -> datetime | None:
    """A time, local unless it says otherwise, or a span before now."""
    if text is None:
        return None
    try:
        return datetime.now(UTC) - _SPAN.validate_python(text) if text.lstrip("-").startswith("P") else _time_of(text)
    except (ValidationError, OverflowError) as error:
        raise ConfigurationError(
            f'{option}: "{printable(text)}" is not understood; write 2026-11-21T08:00, or PT1H for an hour ago'
        ) from error


def _time_of(text: str) -> datetime:
    at = _TIME.validate_python(text)
    return at.astimezone() if at.tzinfo is None else at
