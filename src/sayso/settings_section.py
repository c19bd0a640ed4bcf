"""What every group of settings is, and how long anything may last."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict

LONGEST = timedelta(days=36_500)
"""A hundred years: the end of what waits is a date, and dates end with the year 9999."""


class Section(BaseModel):
    """A group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")
