"""book_trip: flight, hotel and car, or nothing (docs/seeds.md, 004)."""

from __future__ import annotations

from typing import Any

from dapr.ext.workflow import DaprWorkflowContext

from sayso.contracts.cases import Outcome
from sayso.contracts.sagas import TripRequested
from sayso.contracts.workflow_io import CaseInput, Closing
from sayso_worker.workflows.journal import Journal, Yields
from sayso_worker.workflows.saga import Saga, StepFailedError


def book_trip(ctx: DaprWorkflowContext, raw: dict[str, Any]) -> Yields:
    """Book a trip `{trip_id, traveller, destination}`; asks nobody and waits for no event.

    Activities, with their undos: `book_flight` (`cancel_flight`), `book_hotel` (`cancel_hotel`), `book_car` (`cancel_car`);
    `close_case`. Outcomes: `completed`; `compensated`, `failed` (a cancellation failed). Result: `{flight, hotel, car}`.
    After a failure the case is closed and the original error raised: the engine shows the instance as FAILED, in the service's words.
    """
    case_input = CaseInput.model_validate(raw)
    trip = TripRequested.model_validate(case_input.request).model_dump(mode="json")
    journal = Journal(ctx, case_input)
    saga = Saga(journal)
    try:
        flight = yield from saga.step("book_flight", "cancel_flight", trip)
        hotel = yield from saga.step("book_hotel", "cancel_hotel", trip)
        car = yield from saga.step("book_car", "cancel_car", trip)
    except StepFailedError as failure:
        outcome = yield from saga.undo_all()
        yield from journal.close(Closing(outcome=outcome, result=None, reason=str(failure), milestones=journal.milestones))
        raise
    result = {"flight": flight, "hotel": hotel, "car": car}
    return (yield from journal.close(Closing(outcome=Outcome.COMPLETED, result=result, milestones=journal.milestones)))
