"""Commitments: what stands in the audit chain for the words that name or are of a person, so that they can be erased.

In: an audit entry. Out: for each of its personal fields a random salt and the SHA-256 over salt and value. The seal covers that
commitment in the place of the value. Whoever has the salt can show that the value is what was sealed; without it nobody can guess it.
Erasing takes value and salt away, and the chain still verifies.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

PERSONAL = (
    *("requester", "asked", "by", "on_behalf_of", "to", "holder"),
    *("comment", "reason", "why", "was", "changes", "result", "error", "words"),
)
"""Names in an entry's detail whose values may name persons, or be a person's own words."""
ACTOR = "actor"
ERASED = "(erased)"
SALT_BYTES = 16
as_json = json.JSONEncoder(default=str).encode
"""How an entry's detail is written. What JSON does not know becomes text."""
_encode_sorted = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode


def commit(actor: str, detail: Mapping[str, Any], system: str) -> tuple[str | None, str | None]:
    """(salts, commitments) of an entry, JSON objects of field → text; None where it has no personal field."""
    values = {name: _as_read(detail[name]) for name in PERSONAL if detail.get(name) is not None}
    if actor != system:
        values[ACTOR] = actor
    if not values:
        return None, None
    salts = {name: secrets.token_hex(SALT_BYTES) for name in sorted(values)}
    return written(salts), written({name: commitment(salts[name], values[name]) for name in salts})


def _as_read(value: Any) -> Any:
    """The value as whoever verifies reads it from the entry."""
    return value if type(value) is str else json.loads(as_json(value))


def commitment(salt: str, value: Any) -> str:
    """What the chain holds of a value."""
    return hashlib.sha256(f"{salt}{written(value)}".encode()).hexdigest()


def written(value: Any) -> str:
    """JSON in one form, so that any change of its text is a change."""
    return _encode_sorted(value)


def sealed_form(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the seal covers of these columns: commitments stand for the personal values. Older entries have none."""
    columns = {name: value for name, value in entry.items() if name not in ("salts", "commitments")}
    if entry["commitments"] is None:
        return columns
    committed = json.loads(entry["commitments"])
    detail = {name: value for name, value in json.loads(entry["detail"]).items() if name not in committed}
    actor = {} if ACTOR in committed else {ACTOR: entry[ACTOR]}
    return {**columns, ACTOR: None, **actor, "detail": written(detail), "commitments": entry["commitments"]}


def broken(entry: Mapping[str, Any]) -> Iterator[str]:
    """What of its values is not what was committed to. Of erased ones only that they are erased can be said (`erased_fields`)."""
    if entry["commitments"] is None:
        if entry["salts"] is not None:
            yield "it has salts, and nothing that they belong to"
        return
    committed, salts = json.loads(entry["commitments"]), json.loads(entry["salts"] or "{}")
    detail = json.loads(entry["detail"])
    if json.dumps(detail) != entry["detail"] or written(salts) != (entry["salts"] or "{}"):
        yield "its text was changed"
    if not salts.keys() <= committed.keys():
        yield "it has a salt of a value that was never there"
    for name, digest in committed.items():
        value = entry[ACTOR] if name == ACTOR else detail.get(name)
        if name in salts and commitment(salts[name], value) != digest:
            yield f"its `{name}` was changed"
        elif name not in salts and value != ERASED:
            yield f"its `{name}` was changed, and its salt is gone"


def erased_fields(entry: Mapping[str, Any]) -> set[str]:
    """The fields of it that were erased."""
    if entry["commitments"] is None:
        return set()
    committed: dict[str, str] = json.loads(entry["commitments"])
    kept: dict[str, str] = json.loads(entry["salts"] or "{}")
    return set(committed) - set(kept)
