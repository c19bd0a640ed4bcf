"""Work in bulk: the events that start a batch or a chain, on `batches`. The models are also the workflows' inputs.

Source of names and shapes: docs/seeds.md, section Chain and fan-out (003, 004).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from sayso.contracts.payload import Key, Payload

WHOLE_MAX = 2**53 - 1
Whole = Annotated[int, Field(strict=True, ge=-WHOLE_MAX, le=WHOLE_MAX)]
"""A whole number that every JSON reader keeps exact."""


class OnFailure(StrEnum):
    """What one item that fails means for its batch."""

    FAIL = "fail"
    COLLECT = "collect"


class BatchSubmitted(Payload):
    """`com.acme.batch.submitted.v1`: `count` work items, numbered from `offset` + 1, at most `limit` of them at the same time.

    `on_failure`: the first item that fails ends the batch (`fail`), or failures are counted and the rest goes on (`collect`).
    """

    batch_id: Key
    count: Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
    offset: Annotated[Whole, Field(ge=0)] = 0
    limit: Annotated[int, Field(strict=True, ge=1, le=100)] | None = None
    on_failure: OnFailure = OnFailure.FAIL


class TaskChainSubmitted(Payload):
    """`com.acme.task-chain.submitted.v1`: a number that goes through three steps, each with what the one before it gave."""

    chain_id: Key
    value: Whole
