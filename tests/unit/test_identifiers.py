"""Instance ids: at most 64 safe characters, and two cases never share one."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sayso.contracts.catalog import WORKFLOWS
from sayso.ledger.identifiers import instance_id

LEDGER = "3f9a2c"
SAFE = re.compile(r"[A-Za-z0-9_-]{1,64}")

keys = st.text(min_size=1, max_size=500) | st.from_regex(r"[A-Za-z0-9-]{1,60}", fullmatch=True)
workflows = st.sampled_from(sorted(WORKFLOWS)) | st.from_regex(r"[a-z_]{1,60}", fullmatch=True)
generations = st.integers(min_value=1, max_value=999_999)


def test_an_ordinary_key_stays_readable() -> None:
    assert instance_id("purchase_order_workflow", "PO-1001", 1, LEDGER) == "purchase_order-PO-1001-1-3f9a2c"
    assert instance_id("task_approval_workflow", "T-3001", 12, LEDGER) == "task_approval-T-3001-12-3f9a2c"


@pytest.mark.parametrize("key", ["| @ / \\ # ?", "PO 1", "Ünïcødé", "../..", "a||b", "x" * 500, "\n", "a@b#c?d"])
def test_a_key_with_other_characters_is_made_safe_and_told_apart(key: str) -> None:
    made = instance_id("purchase_order_workflow", key, 1, LEDGER)
    assert SAFE.fullmatch(made)
    assert re.search(r"-[0-9a-f]{20}-1-3f9a2c$", made)


def test_keys_that_look_alike_when_made_safe_stay_apart() -> None:
    assert len({instance_id("w", key, 1, LEDGER) for key in ("a b", "a-b", "a/b", "a\\b", "a#b", "a?b", "a|b", "a@b")}) == 8


def test_a_key_written_like_our_own_digest_meets_no_other_case() -> None:
    victim = instance_id("purchase_order_workflow", "PO 1", 1, LEDGER)
    forged = victim.removeprefix("purchase_order-").removesuffix(f"-1-{LEDGER}")
    assert instance_id("purchase_order_workflow", forged, 1, LEDGER) != victim


@given(workflows, keys, generations, st.from_regex(r"[0-9a-f]{6}", fullmatch=True))
def test_any_id_is_short_and_safe_and_ends_with_generation_and_ledger(workflow: str, key: str, generation: int, ledger: str) -> None:
    made = instance_id(workflow, key, generation, ledger)
    assert SAFE.fullmatch(made)
    assert made.endswith(f"-{generation}-{ledger}")
    assert made == instance_id(workflow, key, generation, ledger)


@given(st.sampled_from(sorted(WORKFLOWS)), keys, keys)
def test_two_keys_never_share_an_id(workflow: str, one: str, other: str) -> None:
    assume(one != other)
    assert instance_id(workflow, one, 1, LEDGER) != instance_id(workflow, other, 1, LEDGER)


@given(keys, generations, generations)
def test_two_generations_never_share_an_id(key: str, one: int, other: int) -> None:
    assume(one != other)
    assert instance_id("approval_workflow", key, one, LEDGER) != instance_id("approval_workflow", key, other, LEDGER)


@given(st.text(alphabet="ab-1", min_size=1, max_size=8), st.text(alphabet="ab-1", min_size=1, max_size=8), generations, generations)
def test_key_and_generation_do_not_run_into_each_other(one: str, other: str, first: int, second: int) -> None:
    assume((one, first) != (other, second))
    assert instance_id("approval_workflow", one, first, LEDGER) != instance_id("approval_workflow", other, second, LEDGER)


@given(keys)
def test_the_shipped_workflows_never_share_an_id(key: str) -> None:
    assert len({instance_id(workflow, key, 1, LEDGER) for workflow in WORKFLOWS}) == len(WORKFLOWS)


@given(keys)
def test_two_ledgers_never_meet(key: str) -> None:
    assert instance_id("approval_workflow", key, 1, "aaaaaa") != instance_id("approval_workflow", key, 1, "aaaaab")


def test_workflows_whose_names_begin_alike_stay_apart() -> None:
    long = "a_workflow_with_quite_a_long_name_"
    assert instance_id(long + "one", "k", 1, LEDGER) != instance_id(long + "two", "k", 1, LEDGER)
