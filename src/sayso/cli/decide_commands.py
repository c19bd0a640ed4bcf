"""`sayso decide`: one decision about one case, published to the topic like everybody else's."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from sayso.cli.output import Json
from sayso.cli.publish_commands import AboutFile, Sign

Workflow = Annotated[str | None, typer.Option("--workflow", metavar="NAME", help="Which workflow's case, if several have this key.")]
CaseReference = Annotated[str, typer.Argument(metavar="KEY", help="The case's business key (PO-1001), or its instance id.")]


class Answer(StrEnum):
    """What can be decided."""

    APPROVE = "approve"
    REJECT = "reject"
    ABSTAIN = "abstain"


def decide(
    key: CaseReference,
    answer: Annotated[Answer, typer.Argument(help="approve, reject, or abstain where several are asked.")],
    user: Annotated[str, typer.Option("--as", metavar="USER", help="Who decides.")],
    comment: Annotated[str | None, typer.Option("--comment", metavar="TEXT", help="Why; kept with the decision.")] = None,
    workflow: Workflow = None,
    stage: Annotated[str | None, typer.Option("--stage", metavar="NAME", help="On which stage, if you are asked on several.")] = None,
    on_behalf_of: Annotated[str | None, typer.Option("--for", metavar="USER", help="In whose place, if there are several.")] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for what becomes of it.")] = False,
    timeout_seconds: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0, help="How long to wait.")] = 10.0,
    sign: Sign = None,
    about: AboutFile = None,
    as_json: Json = False,
) -> None:
    """Approve or reject a case, or abstain, and say what became of the decision.

    Exit code: 0 used, or held for a case that has not come yet; 4 refused or late, with the reason; 5 no answer within the time.
    A decision for a case that does not exist yet needs --workflow and --about. The sender whose key is on this machine signs it.
    """
    from sayso.cli.deciding import Decision, decide_case  # noqa: PLC0415 - CEL, gRPC and database drivers take a moment to load

    approved = None if answer is Answer.ABSTAIN else answer is Answer.APPROVE
    decision = Decision(key, approved, user, comment, workflow, stage, on_behalf_of, sign, about)
    raise typer.Exit(decide_case(decision, wait_seconds=0.0 if no_wait else timeout_seconds, as_json=as_json))
