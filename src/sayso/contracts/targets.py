"""Targets: which addresses a monitor may look at. Pure, so that workflows and the client that calls both ask here.

In: an address from an event, the prefixes of the setting. Out: None, or why not, in words. Invariant: scheme, host and port are
compared as a URL parser reads them, never as text: `http://127.0.0.1.evil.example` is not below `http://127.0.0.1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

PORTS = {"http": 80, "https": 443}
PLAIN = re.compile(r"[!-\[\]-~]+")
"""No blanks, control characters or backslashes, which clients read differently, and nothing beyond ASCII."""


def why_not_allowed(target: str, prefixes: Iterable[str]) -> str | None:
    """A prefix is `scheme://host`, which allows every port, `scheme://host:port`, or one of them with the beginning of a path."""
    asked = _parsed(target)
    if asked is None:
        return f"{target[:200]!r} is no plain http or https address"
    if any(_is_below(asked, prefix) for prefix in map(_parsed, prefixes) if prefix is not None):
        return None
    return f"{target[:200]} is not among the targets that SAYSO_MONITOR__ALLOWED_TARGETS allows"


def _parsed(address: str) -> SplitResult | None:
    if not PLAIN.fullmatch(address):
        return None
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return None
    is_plain = parts.scheme in PORTS and parts.hostname and port != 0 and "@" not in parts.netloc
    return parts if is_plain else None


def _is_below(asked: SplitResult, allowed: SplitResult) -> bool:
    same_host = (asked.scheme, asked.hostname) == (allowed.scheme, allowed.hostname)
    same_port = allowed.port is None or allowed.port == (asked.port or PORTS[asked.scheme])
    return same_host and same_port and _path_is_below(asked.path, allowed.path)


def _path_is_below(asked: str, allowed: str) -> bool:
    """By whole segments; dots, also encoded ones, could lead out of it again."""
    segments = [segment for segment in allowed.split("/") if segment]
    if not segments:
        return True
    if "%" in asked or any(segment in (".", "..") for segment in asked.split("/")):
        return False
    return [segment for segment in asked.split("/") if segment][: len(segments)] == segments
