"""The base of what Sayso writes for itself: frozen and exact."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Snapshot(BaseModel):
    """Frozen and exact: Sayso writes these itself, so an unknown field is a bug."""

    model_config = ConfigDict(frozen=True, extra="forbid")
