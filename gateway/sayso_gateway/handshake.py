"""The handshake of CloudEvents' WebHook specification: OPTIONS asks whether an origin may send here, and how often.

In: the headers of the question, the origins that are allowed. Out: the permission, or 403. A callback address is never called: anybody
could have written it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fastapi.responses import Response

from sayso_gateway.problems import ProblemError


def handshake(headers: Mapping[str, str], allowed: Collection[str], a_second: int) -> Response:
    """The permission of this origin."""
    origin = headers.get("webhook-request-origin", "")
    if not origin:
        raise ProblemError(400, "the header WebHook-Request-Origin is missing")
    if "*" not in allowed and origin not in allowed:
        raise ProblemError(403, "this origin may not send here")
    a_minute = 60 * a_second
    asked = headers.get("webhook-request-rate", "")
    if asked.isascii() and asked.isdigit() and 0 < len(asked) < 10:
        a_minute = min(a_minute, max(1, int(asked)))
    told = {
        "WebHook-Allowed-Origin": origin if "*" not in allowed else "*",
        "WebHook-Allowed-Rate": str(a_minute),
        "Allow": "POST, OPTIONS",
    }
    return Response(status_code=200, headers=told)
