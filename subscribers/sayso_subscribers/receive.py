"""Receive: the handler of every topic.

In: one raw message from daprd. Out: SUCCESS after the ledger has committed its bytes, RETRY if it could not. Nothing else happens
here, so a message is acknowledged within one commit and never waits for a workflow (ARCHITECTURE, invariant 1).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import structlog
from dapr.ext.grpc import SubscriptionMessage, TopicEventResponse

from sayso.errors import SaysoError
from sayso.ledger import Ledger
from sayso.ledger.intake import receive
from sayso.ledger.oversized import TRANSPORT_BYTES_MAX, receive_oversized
from sayso_subscribers.intake_watch import Intake

log = structlog.get_logger()


def receiver(
    ledger: Ledger, wake: Callable[[], None], intake: Intake | None = None
) -> Callable[[SubscriptionMessage], TopicEventResponse]:
    """Make the handler; `wake` tells the dispatcher that there is something to route, `intake` keeps what could not be committed."""
    failures = intake or Intake()

    def receive_message(message: SubscriptionMessage) -> TopicEventResponse:
        original = message.raw_data()
        work = receive if len(original) <= TRANSPORT_BYTES_MAX else receive_oversized
        try:
            ledger.transact(partial(work, topic=message.topic(), original=original), in_sight=True)
        except SaysoError as error:
            failures.failed(str(error))
            log.warning("not committed, the broker keeps it", topic=message.topic(), error=str(error))
            return TopicEventResponse("retry")
        if failures.stopped:
            failures.worked()
        wake()
        return TopicEventResponse("success")

    return receive_message
