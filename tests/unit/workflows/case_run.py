"""The runner of cases, under the name by which these tests know it."""

from __future__ import annotations

from sayso.testing.case_run import OPENED_AT, CaseRun

__all__ = ["OPENED_AT", "CaseRun"]
