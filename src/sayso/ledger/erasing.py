"""Erasing a person: what the ledger knows of them is taken out, in one transaction, and the audit chain still verifies.

In: a person's id, who erases, why. Out: how much was erased; refused while an open case, an event on its way, or something that is
still to be published or sent is about the person. What stays: that something happened, when, and that it was erased; case keys,
identities and digests, so that whatever comes again is known. What nobody here can reach, `OUT_OF_REACH` says.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sqlalchemy import LargeBinary, Row, Table, Text, cast, func, or_, select, true, update
from sqlalchemy.sql.elements import ColumnElement

from sayso.contracts.engine_ids import engine_ids
from sayso.contracts.payload import person_key
from sayso.ledger import audit as log
from sayso.ledger.commitments import ACTOR, ERASED, PERSONAL, written
from sayso.ledger.database import Transaction
from sayso.ledger.redaction import Redaction
from sayso.ledger.schema import acts, audit, cases, claims, compensations, engine_purges, events, notices, outbox, steps, tasks
from sayso.ledger.statements import upsert
from sayso.ledger.states import EventState

UNSETTLED = (EventState.RECEIVED, EventState.HELD, EventState.DELIVERING, EventState.DELIVERED)
PLACES: Mapping[Table, tuple[str, ...]] = MappingProxyType(
    {
        events: ("original", "payload", "reason", "source", "event_id", "on_late"),
        cases: ("input", "amended", "result", "reason", "stage", "last_error", "finding"),
        tasks: ("assigned_to", "votes", "decided_by", "comment"),
        steps: ("result",),
        compensations: ("error", "booking", "settled_by", "settled_reason"),
        acts: ("actor", "reason", "answer"),
        claims: ("body",),
        outbox: ("body", "last_error"),
        notices: ("recipient", "title", "body", "last_error"),
    }
)
"""Where words of people are. Keys of cases and ids of instances stay: they say which matter it was."""
OWN_WORDS: Mapping[Table, tuple[str, str]] = MappingProxyType(
    {tasks: ("decided_by", "comment"), acts: ("actor", "reason"), compensations: ("settled_by", "settled_reason")}
)
"""Column that says whose words another one holds."""
OUT_OF_REACH = (
    "messages that the broker still keeps, or has handed to other systems (topics have their own retention)",
    "log files of the processes, of daprd and of the broker",
    "e-mails and chat messages that were sent",
    "backups of the ledger and exports of cases",
    "the directory, calendars, policies and senders in the configuration, or the directory's server",
    "keys of cases, and ids in them, if somebody put a name there",
    "what partner services were told",
)


@dataclass(frozen=True)
class Erasure:
    """What was erased: rows a table, audit entries; `instances` are those that the engine still has to forget."""

    rows: Mapping[str, int]
    entries: int
    kept_entries: int
    """Audit entries of before there were commitments: their words are under the seal itself, and stay."""

    instances: tuple[str, ...]


def why_not(tx: Transaction, person: str) -> list[str]:
    """What still needs the person; nothing: they may be erased."""
    redaction = Redaction(person)
    return [*_open_cases(tx, redaction, person), *_on_its_way(tx, redaction, person)]


def erase(tx: Transaction, person: str, *, actor: str, reason: str) -> Erasure:
    """Erase them. The caller has looked at `why_not` in the same transaction."""
    redaction = Redaction(person)
    instances: dict[str, int] = {}
    counted: Counter[str] = Counter({"claims": _erase_large_texts(tx, person)})
    for table, columns in PLACES.items():
        for row, values in _redacted(tx, table, columns, redaction, person):
            if table is events:
                values["redacted_at_ms"] = tx.now_ms
            tx.run(update(table).where(*_is(table, row)).values(values))
            counted[table.name] += 1
            instance = row._mapping.get("instance_id")
            if instance is not None:
                instances[instance] = 1
    erased, kept = _erase_entries(tx, redaction, person)
    names = tuple(_purged(tx, instances))
    rows = {name: count for name, count in sorted(counted.items()) if count}
    log.record(tx, log.PERSON_ERASED, actor=actor, channel="cli", reason=reason, rows=rows, entries=_ranges(erased), kept=kept)
    return Erasure(rows, len(erased), kept, names)


def _open_cases(tx: Transaction, redaction: Redaction, person: str) -> Iterator[str]:
    named = _likely(tx, cases, ("input", "amended"), person)
    for row in tx.all(select(cases).where(cases.c.phase != "closed", named).order_by(cases.c.opened_at_ms)):
        if any(redaction.mentions(text) for text in (row.input, row.amended) if text):
            yield f"the case {row.instance_id} is open, and about them"
    query = select(tasks).join(cases, cases.c.instance_id == tasks.c.instance_id).where(cases.c.phase != "closed")
    for row in tx.all(query.where(_likely(tx, tasks, PLACES[tasks], person))):
        if any(redaction.mentions(str(row._mapping[name])) for name in PLACES[tasks] if row._mapping[name]):
            yield f"the case {row.instance_id} is open, and asks or has asked them ({row.stage})"


def _on_its_way(tx: Transaction, redaction: Redaction, person: str) -> Iterator[str]:
    waiting = events.c.state.in_([state.value for state in UNSETTLED])
    for row in tx.all(select(events).where(waiting, _likely(tx, events, ("original",), person))):
        if redaction.mentions(bytes(row.original).decode(errors="replace")):
            yield f"event {row.seq} is {row.state}, and about them"
    for table, done in ((outbox, outbox.c.published_at_ms), (notices, notices.c.sent_at_ms)):
        for row in tx.all(select(table).where(done.is_(None), _likely(tx, table, PLACES[table], person))):
            yield f"row {row.seq} of {table.name} about them is still to be sent"


def _redacted(
    tx: Transaction, table: Table, columns: Iterable[str], redaction: Redaction, person: str
) -> Iterator[tuple[Row[Any], dict[str, Any]]]:
    """Rows with what their columns become."""
    for row in tx.all(select(table).where(_likely(tx, table, columns, person))):
        known = {name: row._mapping[name] for name in columns if row._mapping[name] is not None}
        values = {name: _without(redaction, value) for name, value in known.items()}
        author, words = OWN_WORDS.get(table, ("", ""))
        if words in known and person_key(known.get(author, "")) == person_key(person):
            values[words] = ERASED
        changed = {name: value for name, value in values.items() if value != known[name]}
        if changed:
            yield row, changed


def _without(redaction: Redaction, value: str | bytes) -> str | bytes:
    if isinstance(value, str):
        return redaction.of(value)
    text = bytes(value).decode(errors="replace")
    clean = redaction.of(text)
    return clean.encode() if clean != text else value


def _erase_large_texts(tx: Transaction, person: str) -> int:
    """Texts of their own requests that were too large for the workflow's history. Called before the requests lose their names."""
    query = select(cases.c.instance_id, cases.c.input).where(_likely(tx, cases, ("input",), person))
    asked = [row.instance_id for row in tx.all(query) if _asked_by(json.loads(row.input), person)]
    if not asked:
        return 0
    return int(tx.run(update(claims).where(claims.c.instance_id.in_(asked)).values(body=ERASED)).rowcount)


def _asked_by(given: Mapping[str, Any], person: str) -> bool:
    requester = given.get("request", {}).get("requester")
    return isinstance(requester, str) and person_key(requester) == person_key(person)


def _erase_entries(tx: Transaction, redaction: Redaction, person: str) -> tuple[list[int], int]:
    """Numbers of the rows of `audit` of which something was erased, and how many are older than commitments."""
    erased: list[int] = []
    kept = 0
    for row in tx.all(select(audit).where(_likely(tx, audit, ("actor", "detail"), person)).order_by(audit.c.seq)):
        detail = json.loads(row.detail)
        theirs = person_key(row.actor) == person_key(person)
        fields = [name for name in PERSONAL if detail.get(name) is not None and (theirs or redaction.mentions(written(detail[name])))]
        fields += [ACTOR] if theirs else []
        if not fields:
            continue
        if row.commitments is None:
            kept += 1
            continue
        salts = {name: salt for name, salt in json.loads(row.salts or "{}").items() if name not in fields}
        detail |= {name: ERASED for name in fields if name != ACTOR}
        values = {"detail": json.dumps(detail), "salts": written(salts), "actor": ERASED if theirs else row.actor}
        tx.run(update(audit).where(audit.c.seq == row.seq).values(values))
        erased.append(row.seq)
    return erased, kept


def _purged(tx: Transaction, instances: Iterable[str]) -> Iterator[str]:
    """Instances in the engine of the cases that were redacted: listed, so that they are purged whatever crashes."""
    ids = sorted(instances)
    for row in tx.all(select(cases.c.instance_id, cases.c.run).where(cases.c.instance_id.in_(ids))) if ids else ():
        for name in engine_ids(row.instance_id, row.run):
            tx.run(upsert(tx.dialect, engine_purges).on_conflict_do_nothing(), {"instance_id": name, "pruned_at_ms": tx.now_ms})
            yield name


def _likely(tx: Transaction, table: Table, columns: Iterable[str], person: str) -> ColumnElement[bool]:
    """Rows that may name the person, in no particular case; they are looked at more closely.

    Other characters than ASCII are written in several ways: then every row is looked at.
    """
    word = person.strip()
    if not word.isascii() or '"' in word or "\\" in word:
        return true()
    return or_(*(_as_text(tx, table.c[name]).icontains(word, autoescape=True) for name in columns))


def _as_text(tx: Transaction, column: Any) -> Any:
    if not isinstance(column.type, LargeBinary):
        return column
    return cast(column, Text) if tx.dialect == "sqlite" else func.encode(column, "escape")


def _is(table: Table, row: Row[Any]) -> list[ColumnElement[bool]]:
    return [column == row._mapping[column.name] for column in table.primary_key.columns]


def _ranges(numbers: Iterable[int]) -> list[list[int]]:
    """[[3, 5], [9, 9]] of 3, 4, 5, 9."""
    found: list[list[int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found
