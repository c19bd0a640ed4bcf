"""Deciding on a request: by the plan of a policy where the case has one, otherwise by one stage, as the settings say."""

from __future__ import annotations

from sayso.policy import in_words, passes_by_itself
from sayso_worker.workflows.await_approval import await_approval, changes_of
from sayso_worker.workflows.journal import Journal, Yields
from sayso_worker.workflows.mailbox import Mailbox
from sayso_worker.workflows.patterns import await_decision


def asks_nobody(journal: Journal) -> bool:
    """Whether the request passes by itself."""
    return passes_by_itself(journal.case.workflow, journal.plan, journal.request)


def mailbox_for(journal: Journal, *names: str) -> Mailbox:
    """A mailbox for these events, and for what may change a request that a policy's plan decides on."""
    more = changes_of(journal) if journal.plan.approval is not None else []
    return Mailbox(journal, dict.fromkeys((*names, *more)))


def request_decision(journal: Journal, mailbox: Mailbox, requester: str | None, event_name: str = "approval_received") -> Yields:
    """A `Decision`, a `Withdrawn`, or None when nobody decided in time. `Journal.request` is what was decided about."""
    wait = await_approval if journal.plan.approval is not None else await_decision
    return (yield from wait(journal, mailbox, requester, event_name))


def nobody_decided(journal: Journal) -> str:
    """Why a case timed out, in the seeds' words."""
    return f"No approval received within {journal.waited or in_words(journal.plan.approval_timeout_seconds)}"
