"""Stacks for the integration tests: real daprd, broker, database and partner service, on free ports, always stopped.

A stack is shared by all tests of a session that ask for the same (broker, ledger); tests use fresh business keys.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from running_system import RunningSystem
from stack_pairs import MAIN_PAIRS, name_of, system_on


@pytest.fixture(scope="session", params=MAIN_PAIRS, ids=name_of)
def system(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    """The stack that most tests share; nobody harms it."""
    with system_on(request.param, tmp_path_factory) as running:
        yield running
