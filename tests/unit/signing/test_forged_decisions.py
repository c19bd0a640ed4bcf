"""Nobody gets in: generated forgeries against correlation, notary and gate together. The large count: `make forgeries`."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from sayso.correlation.bindings import load_bindings
from sayso.gate import Decision
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
        assert got_in[1] == Decision(approved=True, approver="bob", reason="within budget", channel="topic")
    own = forger.honest()
    del own["data"]["approver"]
    got_in = door.let_in(json.dumps(forger.signed(own, company.clerk)).encode())
    assert got_in is not None
    assert got_in[1].approver == "dave", "the verified sender's person"


@pytest.mark.parametrize("seed", range(4))
def test_no_forgery_gets_in_or_says_anything_else(company: Company, door: Door, seed: int) -> None:
    forger = Forger(company, random.Random(seed))
    honest = Decision(approved=True, approver="bob", reason="within budget", channel="topic")
    tried: Counter[str] = Counter()
    for name, body in forger.forgeries(COUNT // 4):
        tried[name] += 1
        got_in = door.let_in(body)
        if got_in is not None:
            # A bit that no decision depends on was turned: it is still the honest decision.
            assert name == "one bit of the whole event changed", (name, body)
            assert got_in[1] == honest, body
    assert len(tried) == 25
