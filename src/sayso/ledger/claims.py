"""Claims: the large texts of a case, kept where its workflow's references lead. See `sayso.contracts.claim`.

In: a case and its data. Out: lighter data, its texts kept in the same transaction; and the whole data for an effect. A reference
is good for its own case only, so that nobody reads another's text by writing its digest.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import bindparam, select

from sayso.contracts.claim import claims_in, make_lighter, make_whole
from sayso.ledger.database import Transaction
from sayso.ledger.schema import claims
from sayso.ledger.statements import upsert


def keep_large_texts(tx: Transaction, instance_id: str, data: dict[str, Any], bytes_max: int) -> dict[str, Any]:
    """What the workflow gets of `data`."""
    lighter, taken = make_lighter(data, bytes_max)
    for digest, body in taken.items():
        tx.run(_insert_once(tx.dialect), {"instance_id": instance_id, "digest": digest, "body": body})
    return lighter


def with_large_texts(tx: Transaction, instance_id: str, data: dict[str, Any]) -> dict[str, Any]:
    """`data` as it was before."""
    digests = claims_in(data)
    if not digests:
        return data
    rows = tx.all(_CLAIMED, {"instance_id": instance_id, "digests": sorted(digests)})
    return make_whole(data, {row.digest: row.body for row in rows})


_CLAIMED = select(claims.c.digest, claims.c.body).where(
    claims.c.instance_id == bindparam("instance_id"), claims.c.digest.in_(bindparam("digests", expanding=True))
)


@cache
def _insert_once(dialect: str) -> Any:
    return upsert(dialect, claims).on_conflict_do_nothing()
