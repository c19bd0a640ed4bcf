"""Ballots: a raised decision as the gate judges it. Understands the seeds' three payloads, and what a policy's stages want to know."""

from __future__ import annotations

from sayso.contracts.approval_state import Answer, Ballot
from sayso.contracts.signed import channel_of, signed_by
from sayso.contracts.workflow_io import RaisedEvent
from sayso.gate.admission import ONLY_BY_APPROVER, Refused


def ballot_of(workflow: str, event: RaisedEvent) -> Ballot | Refused:
    """Who says what about which stage; the event has passed the contract of decisions."""
    data = event.data
    approver, approved = data.get("approver"), data.get("approved")
    if not isinstance(approver, str) or not approver.strip():
        return Refused("it names no approver, and no verified sender stands for one")
    if approved is None and workflow in ONLY_BY_APPROVER:
        approved = True
    abstains = data.get("abstain") is True
    if not abstains and not isinstance(approved, bool):
        return Refused("`approved` must be true or false")
    signed, stage = signed_by(event), data.get("stage")
    if signed is not None and signed.stage is not None:
        if stage not in (None, signed.stage):
            return Refused(f"it was signed for the stage {signed.stage}, and says {stage}")
        stage = signed.stage
    return Ballot(
        person=approver.strip(),
        answer=Answer.ABSTAIN if abstains else Answer.APPROVE if approved else Answer.REJECT,
        comment=data.get("reason"),
        channel=channel_of(event),
        seq=event.seq,
        stage=stage,
        on_behalf_of=data.get("on_behalf_of"),
        request_hash=data.get("request_hash"),
        request_version=data.get("request_version"),
        members=event.members,
    )
