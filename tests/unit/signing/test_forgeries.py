"""Nobody gets in: generated forgeries against correlation, notary and gate together. The large count: `make forgeries`."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from joserfc.jws import CompactSignature, extract_compact

from sayso.correlation.bindings import load_bindings
from sayso.gate import Decision
from sayso.testing.forging.__main__ import attempt
from sayso.testing.forging.company import Company, Door
from sayso.testing.forging.forger import Forger

SHIPPED = load_bindings(Path(__file__).parents[3] / "config" / "bindings.yaml")
COUNT = 2_500


@pytest.fixture(scope="module")
def company() -> Company:
    return Company()


@pytest.fixture(scope="module")
def door(company: Company) -> Door:
    return Door(SHIPPED, company)


def test_honest_decisions_get_in(company: Company, door: Door) -> None:
    forger = Forger(company, random.Random(1))
    for key in (company.erp, company.till):
        got_in = door.let_in(json.dumps(forger.signed(forger.honest(), key)).encode())
        assert got_in is not None
        assert got_in[1] == Decision(approved=True, approver="bob", reason="within budget", channel=f"topic, signed by {key.sender}")
    own = forger.honest()
    del own["data"]["approver"]
    got_in = door.let_in(json.dumps(forger.signed(own, company.clerk)).encode())
    assert got_in is not None
    assert got_in[1].approver == "dave", "the verified sender's person"


@pytest.mark.parametrize("seed", range(4))
def test_no_forgery_gets_in_or_says_anything_else(company: Company, door: Door, seed: int) -> None:
    forger = Forger(company, random.Random(seed))
    tally = attempt(forger, door, COUNT // 4)
    assert not tally.got_in
    assert len(tally.tried) == 25


def extracted(token: str, *_: object, **__: object) -> CompactSignature:
    """A library that looks at no signature."""
    return extract_compact(token.encode())


@pytest.mark.parametrize(
    ("place", "instead"),
    [
        ("sayso.signing.tokens.deserialize_compact", extracted),
        ("sayso.signing.notary._check_event", lambda *_: None),
        ("sayso.signing.notary._check_rights", lambda *_: None),
        ("sayso.signing.notary._check_case", lambda *_: None),
        ("sayso.signing.notary._same", lambda *_: None),
        ("sayso.signing.notary._equal", lambda *_: True),
        ("sayso.signing.notary.Notary._check_times", lambda *_: None),
        ("sayso.signing.senders.SenderRule.may_speak_for", lambda *_: True),
        ("sayso.gate.admission.not_about", lambda *_: None),
        ("sayso.gate.admission.same_person", lambda *_: False),
    ],
)
def test_the_forger_finds_every_check_that_is_missing(
    company: Company, door: Door, monkeypatch: pytest.MonkeyPatch, place: str, instead: Callable[..., object]
) -> None:
    monkeypatch.setattr(place, instead)
    tally = attempt(Forger(company, random.Random(3)), door, 1_500)
    assert tally.breaches, f"nobody notices that {place} is gone"
