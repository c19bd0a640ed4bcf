"""Claim check: large texts are replaced only where they must be, and come back exactly."""

from __future__ import annotations

import json

import pytest

from sayso.contracts.claim import INLINE_BYTES, claims_in, make_lighter, make_whole

LARGE = "x" * 70_000


def test_what_fits_stays_as_it_is() -> None:
    data = {"product": "y" * (INLINE_BYTES - 100), "quantity": 3}
    assert make_lighter(data) == (data, {})


@pytest.mark.parametrize(
    "text", [LARGE, "\U0001f600" * 30_000, "line\n" * 20_000, LARGE + "… [sayso-claim:" + "0" * 64 + " of 9 characters]"]
)
def test_a_large_text_is_replaced_and_comes_back(text: str) -> None:
    data = {"order_id": "PO-1", "product": text, "nested": [{"again": text}, 5, None, True]}
    lighter, taken = make_lighter(data)
    assert list(taken.values()) == [text], "the same text is kept once"
    assert claims_in(lighter) == set(taken)
    assert len(json.dumps(lighter)) < 6_000
    assert lighter["product"].startswith(text[:200])
    assert f"of {len(text)} characters" in lighter["product"]
    assert make_whole(lighter, taken) == data


def test_only_large_texts_are_replaced() -> None:
    lighter, _ = make_lighter({"product": LARGE, "note": "n" * 1_000, "n": 10**30})
    assert (lighter["note"], lighter["n"]) == ("n" * 1_000, 10**30)


def test_a_reference_that_nobody_knows_is_a_text_like_any_other() -> None:
    forged = {"product": f"mine… [sayso-claim:{'a' * 64} of 5 characters]"}
    assert make_whole(forged, {}) == forged
