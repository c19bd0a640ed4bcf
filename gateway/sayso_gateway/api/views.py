"""What of the ledger is shown, and to whom.

Who has only asked sees what is one's own; approvers, operators and auditors see everything.
"""

from __future__ import annotations

import base64
import binascii
import json

from sayso.contracts.cloudevent import parse_event
from sayso.errors import MalformedError
from sayso.ledger.queries.views import CaseView, EventView, TaskView
from sayso_gateway.api.shapes import Case, Event, Task
from sayso_gateway.problems import ProblemError
from sayso_gateway.who.person import SEES_ALL, Person


def see(person: Person, case: CaseView) -> bool:
    """Whether this person may see this case."""
    return bool(person.roles & set(SEES_ALL)) or person.is_(case.request.get("requester"))


def see_event(person: Person, event: EventView) -> bool:
    """Whether this person may see this event: everything, or what it sent itself."""
    if person.roles & set(SEES_ALL):
        return True
    try:
        data = parse_event(event.original).data
    except MalformedError:
        return False
    return isinstance(data, dict) and any(person.is_(data.get(name)) for name in ("requester", "approver"))


def case_of(view: CaseView) -> Case:
    """A case, without what is ours alone."""
    return Case(
        instance_id=view.instance_id,
        workflow=view.workflow,
        key=view.key,
        status=view.status,
        stage=view.stage,
        waits_until=view.waits_until,
        outcome=view.outcome,
        result=view.result,
        reason=view.reason,
        milestones=view.milestones,
        request=view.request,
        opened_at=view.opened_at,
        closed_at=view.closed_at,
    )


def task_of(view: TaskView) -> Task:
    """A task; its id is that of its case."""
    return Task(
        id=view.case,
        workflow=view.workflow,
        key=view.key,
        stage=view.stage,
        what=view.what,
        assigned_to=view.assigned_to,
        requester=view.requester,
        created_at=view.created_at,
        due_at=view.due_at,
    )


def event_of(view: EventView) -> Event:
    """An event, without its bytes."""
    return Event(
        number=view.number,
        topic=view.topic,
        source=view.source,
        event_id=view.event_id,
        type=view.type,
        state=view.state,
        reason=view.reason,
        workflow=view.workflow,
        key=view.key,
        case=view.case,
        sightings=view.sightings,
        received_at=view.received_at,
    )


def cursor_of(*place: int | str) -> str:
    """A place in a list, as text that one gives back."""
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode().rstrip("=")


def number_at(cursor: str | None) -> int | None:
    """The number that the cursor of a list of events holds."""
    place = _place(cursor, (int,))
    return int(place[0]) if place else None


def time_and_id_at(cursor: str | None) -> tuple[int, str] | None:
    """The time and the id that the cursor of another list holds."""
    place = _place(cursor, (int, str))
    return (int(place[0]), str(place[1])) if place else None


def _place(cursor: str | None, kinds: tuple[type, ...]) -> list[int | str] | None:
    if cursor is None:
        return None
    try:
        place = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        place = None
    fits = isinstance(place, list) and [type(part) for part in place] == list(kinds) and abs(place[0]) < 2**63
    if not fits:
        raise ProblemError(404, "there is no such page: `cursor` is not one that we gave")
    return list(place)
