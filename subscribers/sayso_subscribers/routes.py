"""Routes: the subscriptions, one a topic, as `bindings.yaml` names them.

`rawPayload` hands over the bytes that the sender wrote: daprd acknowledges and loses what it cannot parse, turns numbers into floats
and drops expired events, unless it is told not to look.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dapr.ext.grpc import App

HANDLER_THREADS = 32
MESSAGE_BYTES_MAX = 16 * 1024 * 1024


def subscribed_app(pubsub: str, topics: Iterable[str], handler: Callable[..., Any]) -> App:
    """The gRPC app that daprd delivers to."""
    app = App(
        thread_pool=ThreadPoolExecutor(HANDLER_THREADS, thread_name_prefix="receive"),
        options=[("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.so_reuseport", 0)],
    )
    for topic in topics:
        app.subscribe(pubsub, topic, metadata={"rawPayload": "true"})(handler)
    return app
