"""The hash of a request: what a decision is about, so that one who decided on another amount has not decided on this one.

In: a request, plain JSON. Out: SHA-256, in hex, of its RFC 8785 form, which every language can write.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import rfc8785

EXACT_MAX = 2**53 - 1
"""Beyond it JSON has no whole numbers that every language reads: they are hashed as the text of their digits."""


def request_hash(request: Mapping[str, Any]) -> str:
    """64 hex digits; the same for the same content, whatever the order of the fields."""
    return hashlib.sha256(rfc8785.dumps(_portable(request))).hexdigest()


def _portable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _portable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(inner) for inner in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -EXACT_MAX <= value <= EXACT_MAX:
        return str(value)
    return value
