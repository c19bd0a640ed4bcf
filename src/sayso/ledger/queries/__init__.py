"""Read-only questions to the ledger: what became of an event, a case, a task. Nothing here writes or blocks a writer."""

from sayso.ledger.queries.cases import find_cases, list_cases, status_filter
from sayso.ledger.queries.events import detail_of, find_events, find_outgoing, list_events
from sayso.ledger.queries.overview import ledger_health, ledger_summary, list_outbox, list_tasks
from sayso.ledger.queries.reading import open_for_reading

__all__ = [
    "detail_of",
    "find_cases",
    "find_events",
    "find_outgoing",
    "ledger_health",
    "ledger_summary",
    "list_cases",
    "list_events",
    "list_outbox",
    "list_tasks",
    "open_for_reading",
    "status_filter",
]
