"""JSON text, indented, and otherwise exactly as written: 1200.50 stays 1200.50, and a repeated name stays visible."""

from __future__ import annotations

import json
import re

_PIECE = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
STEP = "  "


def indented(text: str) -> str:
    """The text over several lines; what is not JSON comes back unchanged."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    lines, depth = [""], 0
    pieces = _PIECE.findall(text)
    for index, piece in enumerate(pieces):
        if piece in "}]":
            depth -= 1
            if pieces[index - 1] not in "{[":
                lines.append(STEP * depth)
        lines[-1] += ": " if piece == ":" else piece
        if piece in "{[":
            depth += 1
            if pieces[index + 1] not in "}]":
                lines.append(STEP * depth)
        elif piece == ",":
            lines.append(STEP * depth)
    return "\n".join(lines)


def compact(text: str, width: int) -> str:
    """JSON on one line, cut at `width` characters."""
    line = "".join(_PIECE.findall(text))
    return line if len(line) <= width else line[: width - 1] + "…"
