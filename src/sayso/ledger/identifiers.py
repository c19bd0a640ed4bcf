"""Instance ids: workflow, key made safe, generation, and the ledger's own random id; at most 64 of `A-Z a-z 0-9 - _`.

Dapr runs an ended id again and drops its history, so an id must never come back: the generation counts cases of one key, and the
ledger's id keeps two ledgers apart in one engine. The raw key stays in the ledger.
"""

from __future__ import annotations

import hashlib
import re

INSTANCE_ID_CHARACTERS_MAX = 64
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
DIGEST_CHARACTERS = 20  # 80 bits: long enough that nobody finds two keys with the same one by trying
_LIKE_OURS = re.compile(rf"-[0-9a-f]{{{DIGEST_CHARACTERS}}}$")


RUN_CHARACTERS = 3
"""What is left free for the number of a run: `_2` to `_99`."""


def instance_id(workflow: str, key: str, generation: int, ledger_id: str) -> str:
    """`purchase_order-PO-1001-1-3f9a2c`; a key that had to be changed or cut carries a part of its SHA-256.

    So does a key that already ends like one: otherwise somebody could write a key that meets another case's id.
    """
    name = _UNSAFE.sub("-", workflow.removesuffix("_workflow"))[:24]
    tail = f"-{generation}-{ledger_id}"
    room = INSTANCE_ID_CHARACTERS_MAX - RUN_CHARACTERS - len(name) - 1 - len(tail)
    safe = _UNSAFE.sub("-", key)
    if safe != key or len(safe) > room or _LIKE_OURS.search(key) or len(workflow.removesuffix("_workflow")) > len(name):
        digest = hashlib.sha256(f"{workflow}\x00{key}".encode()).hexdigest()[:DIGEST_CHARACTERS]
        safe = f"{safe[: room - DIGEST_CHARACTERS - 1]}-{digest}"
    return f"{name}-{safe}{tail}"
