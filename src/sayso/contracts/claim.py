"""Claim check: what is too large for the engine's history stays in the ledger, and a reference with an excerpt takes its place.

In: JSON-ready data. Out: the same with its large texts replaced, and those texts by their digest; and back. Pure. A reference is
itself a text that fits every contract, so that workflows, notices and outcomes pass it on as they pass on any other.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

LARGE_TEXT_CHARACTERS = 1_000
EXCERPT_CHARACTERS = 200
REFERENCE = re.compile(r"… \[sayso-claim:([0-9a-f]{64}) of \d+ characters\]\Z")
INLINE_BYTES = 64 * 1024
"""The default above which data is made lighter: what CloudEvents promises that everybody on the way passes on."""


def make_lighter(data: dict[str, Any], bytes_max: int = INLINE_BYTES) -> tuple[dict[str, Any], dict[str, str]]:
    """Data of more than `bytes_max` with every large text replaced by its reference; and digest → text."""
    if len(json.dumps(data)) <= bytes_max:
        return data, {}
    taken: dict[str, str] = {}

    def replace(text: str) -> str:
        if len(text) <= LARGE_TEXT_CHARACTERS:
            return text
        digest = hashlib.sha256(text.encode()).hexdigest()
        taken[digest] = text
        return f"{text[:EXCERPT_CHARACTERS]}… [sayso-claim:{digest} of {len(text)} characters]"

    return _mapped(data, replace), taken


def claims_in(data: Any) -> set[str]:
    """The digests of all references in it."""
    return {found[1] for text in _texts(data) if (found := REFERENCE.search(text))}


def make_whole(data: dict[str, Any], claimed: Mapping[str, str]) -> dict[str, Any]:
    """References replaced by their texts; one that nobody knows is a text like any other."""

    def replace(text: str) -> str:
        found = REFERENCE.search(text)
        return claimed.get(found[1], text) if found else text

    whole: dict[str, Any] = _mapped(data, replace)
    return whole


def _mapped(value: Any, replace: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, dict):
        return {name: _mapped(inner, replace) for name, inner in value.items()}
    return [_mapped(inner, replace) for inner in value] if isinstance(value, list) else value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
