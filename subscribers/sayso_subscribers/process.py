"""The process: ledger, dispatcher and gRPC app put together, and taken apart in order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterable
from datetime import timedelta
from functools import partial

import structlog

from sayso.correlation.bindings import Bindings, load_bindings
from sayso.engine import DaprEngine
from sayso.errors import TransientError
from sayso.extensions import load_extensions
from sayso.lanes import Lane
from sayso.ledger import Ledger, open_ledger, read_ledger_id
from sayso.ledger.loaded import note_bindings
from sayso.ledger.opening import PATIENCE_SECONDS
from sayso.metrics import serve_metrics
from sayso.policy.rulebook import LivePolicies
from sayso.publisher import DaprPublisher
from sayso.settings import Settings
from sayso.signing.startup import check_senders
from sayso_subscribers.dispatcher import STOP_SECONDS, Dispatcher
from sayso_subscribers.intake_watch import Intake, IntakeWatch
from sayso_subscribers.ledger_metrics import IntakeCollector, LedgerCollector
from sayso_subscribers.receive import receiver
from sayso_subscribers.routes import subscribed_app
from sayso_subscribers.seal import sealing_lane
from sayso_subscribers.stream_watch import StreamWatch, redis_client

log = structlog.get_logger()
INTAKE_INTERVAL = timedelta(seconds=5)
STREAMS_INTERVAL = timedelta(seconds=2)
"""Shorter than `processingTimeout` in components/redis/pubsub.yaml, after which daprd forgets pending entries that are gone."""


def _configuration(settings: Settings) -> tuple[Bindings, LivePolicies]:
    """All of it is read before the ledger is opened: what is wrong stops the start."""
    load_extensions(settings.config_dir)
    bindings = load_bindings(settings.config_dir / "bindings.yaml")
    policies = LivePolicies(settings)
    check_senders(bindings, settings, may_create=True)
    return bindings, policies


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    bindings, policies = _configuration(settings)
    ledger = open_ledger(settings.ledger_url, PATIENCE_SECONDS)
    engine = DaprEngine(settings.dispatcher.engine_timeout)
    publisher = DaprPublisher(settings.pubsub)
    ledger_id = read_ledger_id(ledger)
    ledger.transact(partial(note_bindings, digest=bindings.digest))
    dispatcher = Dispatcher(ledger, engine, publisher, bindings, settings, ledger_id, policies)
    sealing = sealing_lane(ledger, settings, ledger_id)
    streams = _watch_of_streams(bindings.subscriptions, ledger, dispatcher)
    intake = Intake()
    app = subscribed_app(settings.pubsub, bindings.subscriptions, receiver(ledger, dispatcher.wake, intake))
    stopping = threading.Event()
    asked_to_stop = threading.Event()

    def ask_to_stop(*_: object) -> None:
        asked_to_stop.set()
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    port = int(os.environ.get("APP_PORT", "50051"))
    address = os.environ.get("SAYSO_APP_ADDRESS", "127.0.0.1")

    def serve() -> None:
        """An app that cannot listen, or ends by itself, must not leave a process behind that looks alive."""
        try:
            app.run(app_port=port, listen_address=address)
        finally:
            stopping.set()

    for watch in streams:
        watch.work()  # before daprd is let in, which forgets what is gone
    lanes = [Lane("streams", watch.work, STREAMS_INTERVAL) for watch in streams]
    lanes.append(Lane("intake", IntakeWatch(ledger, intake, settings.alarms).work, INTAKE_INTERVAL))
    serving = threading.Thread(target=serve, daemon=True)
    serving.start()
    dispatcher.start()
    sealing.start()
    for lane in lanes:
        lane.start()
    numbers = [LedgerCollector(ledger, settings.alarms), IntakeCollector(intake)]
    stop_metrics = serve_metrics("subscribers", settings.metrics.address, settings.metrics.subscribers_port, numbers)
    log.info("receiving", topics=list(bindings.subscriptions), port=port)
    stopping.wait()
    stop_metrics()
    app.stop()
    dispatcher.stop()
    for lane in (sealing, *lanes):
        lane.stop(STOP_SECONDS)
    publisher.close()
    ledger.close()
    if not asked_to_stop.is_set():
        raise TransientError(f"the app's gRPC server ended by itself; is port {port} taken?")
    log.info("stopped")


def _watch_of_streams(topics: Iterable[str], ledger: Ledger, dispatcher: Dispatcher) -> list[StreamWatch]:
    """On Redis the one watch over its streams; elsewhere none."""
    address = os.environ.get("SAYSO_REDIS_HOST")
    return [StreamWatch(redis_client(address), topics, ledger, dispatcher.wake)] if address else []
