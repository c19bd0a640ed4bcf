"""What every route of the API stands on: who calls, the ledger (only to be read), the bindings, the way onto a topic.

In: a request. Out: its person, its body, answers of the ledger. Invariant: the ledger is opened for reading alone.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import NAMESPACE_URL, uuid4, uuid5

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool

from sayso.contracts.cloudevent import IncomingEvent, read_json
from sayso.contracts.payload import explain
from sayso.correlation.bindings import Bindings
from sayso.errors import ConfigurationError, MalformedError, TransientError
from sayso.ledger import Ledger, read_ledger_id
from sayso.ledger.database import Transaction
from sayso.ledger.queries import open_for_reading
from sayso.settings import Settings
from sayso_gateway.api.signing import Signatory
from sayso_gateway.courier import Courier
from sayso_gateway.outgoing import Outgoing
from sayso_gateway.problems import ProblemError
from sayso_gateway.who.login import Login
from sayso_gateway.who.person import Person

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)
SOURCE = "/sayso/gateway"
ACCEPTED_MAX = 100_000
IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}", re.ASCII)
FORM = "application/x-www-form-urlencoded"
RETRY_AFTER = {"Retry-After": "1"}


class LedgerReader:
    """The ledger, once it is there."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._ledger: Ledger | None = None
        self.ledger_id = ""

    async def read(self, question: Callable[[Transaction], T]) -> T:
        """The answer of one consistent snapshot."""
        return await run_in_threadpool(lambda: self.ledger().read(question))

    def ledger(self) -> Ledger:
        """It; `TransientError` while there is none that can be read. Not on the event loop."""
        with self._lock:
            if self._ledger is None:
                try:
                    opened = open_for_reading(self._url)
                    self.ledger_id = read_ledger_id(opened)
                except ConfigurationError as error:
                    raise TransientError(f"the ledger cannot be read: {error}") from error
                self._ledger = opened
            return self._ledger

    def close(self) -> None:
        """Let go of it."""
        if self._ledger is not None:
            self._ledger.close()


@dataclass(frozen=True)
class Asked:
    """A request that was accepted: the workflow, and the event that says so."""

    workflow: str
    key: str
    event_id: str
    person: str


@dataclass
class Desk:
    """All of it."""

    settings: Settings
    bindings: Bindings
    courier: Courier
    reader: LedgerReader
    login: Login
    signatory: Signatory
    clock: Callable[[], float] = time.time
    accepted: OrderedDict[str, Asked] = field(default_factory=OrderedDict)
    """Instance id → what was accepted lately: what the ledger may not have yet."""

    async def publish(self, event: Outgoing) -> None:
        """Return when the broker has it."""
        await self.courier.publish(event.topic, event.key, event.body)

    def remember(self, instance_id: str, asked: Asked) -> None:
        """Until the ledger has it."""
        self.accepted[instance_id] = asked
        while len(self.accepted) > ACCEPTED_MAX:
            self.accepted.popitem(last=False)


async def body_of(request: Request, model: type[Model]) -> Model:
    """The JSON body, with exact numbers; 415 for another kind, 422 for one that does not fit."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        # A form can be sent by any page of any origin without a question being asked; JSON cannot.
        raise ProblemError(415, "send JSON: content-type: application/json")
    document: Any = read_json(await request.body())
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise MalformedError(explain(error)) from error


def event_id_of(request: Request, person: Person) -> str:
    """The id of the event that this request becomes: the same for the same person, path and `Idempotency-Key`."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return str(uuid4())
    if not IDEMPOTENCY_KEY.fullmatch(key):
        raise ProblemError(400, "Idempotency-Key has 1 to 255 visible characters of ASCII, and no blanks")
    return str(uuid5(NAMESPACE_URL, f"{request.url.path}\n{len(person.id)}:{person.id}{key}"))


def identity_of(source: str, event_id: str) -> str:
    """As the ledger knows an event."""
    return IncomingEvent(source, event_id, "", None, None, {}).identity
