"""Routes: the subscriptions, one a topic, as `bindings.yaml` names them.

`rawPayload` hands over the bytes that the sender wrote: daprd acknowledges and loses what it cannot parse, turns numbers into floats
and drops expired events, unless it is told not to look. What it gives up all the same goes to its own dead letters, which are
subscribed like any topic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dapr.ext.grpc import App

from sayso.correlation.bindings import DAPR_DEAD_LETTERS

HANDLER_THREADS = 32
MESSAGE_BYTES_MAX = -1
"""Without a limit: what this server refuses is delivered again for ever, and on Kafka nothing behind it. `receive` says no instead."""


def subscribed_app(pubsub: str, topics: Iterable[str], handler: Callable[..., Any]) -> App:
    """The gRPC app that daprd delivers to."""
    app = App(
        thread_pool=ThreadPoolExecutor(HANDLER_THREADS, thread_name_prefix="receive"),
        options=[("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.so_reuseport", 0)],
    )
    for topic in topics:
        given_up = None if topic == DAPR_DEAD_LETTERS else DAPR_DEAD_LETTERS
        app.subscribe(pubsub, topic, metadata={"rawPayload": "true"}, dead_letter_topic=given_up)(handler)
    return app
