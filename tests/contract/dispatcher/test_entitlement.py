"""Who may decide is looked up when the decision is delivered, in the directory as it is then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from office import SETTINGS, Office, memory_engine

from sayso.ledger import Ledger
from sayso.ledger.schema import cases

EVERYBODY = """\
default: {notify: [sayso-file://]}
users: {bob: {name: Bob}, carol: {name: Carol}, dave: {name: Dave}}
groups: {managers: {name: Managers, members: [MEMBERS]}}
"""


class Company:
    """An office whose managers come and go."""

    def __init__(self, office: Office, path: Path) -> None:
        self.office = office
        self._path = path
        self.managers_are("bob", "carol")

    def managers_are(self, *members: str) -> None:
        self.write(EVERYBODY.replace("MEMBERS", ", ".join(members)))

    def write(self, text: str) -> None:
        fresh = self._path.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self._path)


@pytest.fixture
def company(ledger: Ledger, tmp_path: Path) -> Iterator[Company]:
    office = Office(ledger, memory_engine, SETTINGS.model_copy(update={"approvers_only": True, "config_dir": tmp_path}))
    yield Company(office, tmp_path / "directory.yaml")
    office.close()


def test_a_right_that_was_withdrawn_before_the_delivery_does_not_count(company: Company) -> None:
    """The decision is sent and in the ledger; before it is delivered its sender is a manager no more."""
    office = company.office
    office.buy()
    office.decide(approver="bob")
    company.managers_are("carol")
    office.open()
    office.wait_until(lambda: office.states == ["started", "refused"])
    assert office.reasons[1] == "bob is not a member of managers, who are asked"
    assert [case.stage for case in office.cases] == ["waits for approval"]
    office.decide(approver="Carol ")
    office.pay()
    office.wait_for_outcomes("completed")


def test_a_right_that_was_given_meanwhile_counts(company: Company) -> None:
    office = company.office
    company.managers_are("carol")
    office.open()
    office.buy()
    office.decide(approver="dave", approved=False)
    office.wait_until(lambda: office.states == ["started", "refused"])
    company.managers_are("carol", "dave")
    office.decide(approver="dave", approved=False)
    office.wait_for_outcomes("rejected")


def test_a_directory_that_cannot_be_read_delays_a_decision_and_is_never_guessed(company: Company) -> None:
    office = company.office
    office.open()
    office.buy()
    office.wait_until(lambda: office.cases and office.cases[0].phase == "running")
    company.write("groups: [")
    office.decide(approver="bob")
    office.wait_until(lambda: "directory.yaml" in str(office.rows(cases)[0].last_error))
    assert office.states[1] == "delivering"
    company.managers_are("bob")
    office.pay()
    office.wait_for_outcomes("completed")


def test_by_default_anybody_but_the_requester_decides(ledger: Ledger) -> None:
    office = Office(ledger, memory_engine)
    office.open()
    office.buy()
    office.decide(approver="somebody")
    office.pay()
    office.wait_for_outcomes("completed")
    office.close()
