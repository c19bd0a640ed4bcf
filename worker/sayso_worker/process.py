"""The process: workflow runtime and notices lane put together, and taken apart in order."""

from __future__ import annotations

import asyncio
import signal
import threading
from datetime import timedelta
from functools import partial

import structlog
import uvloop
from dapr.ext.workflow import WorkflowRuntime

from sayso.directory_http import directory_source
from sayso.extensions import load_extensions
from sayso.lanes import Lane
from sayso.ledger import open_ledger, read_ledger_id
from sayso.ledger.cases import Rules
from sayso.ledger.opening import PATIENCE_SECONDS
from sayso.metrics import serve_metrics
from sayso.notices.sender import NoticeSender
from sayso.policy.rulebook import LivePolicies
from sayso.services import PartnerClient
from sayso.settings import Settings
from sayso.targets import Targets
from sayso_worker.activities.send_notices import NoticeLane
from sayso_worker.last_steps import LastStepExecutor
from sayso_worker.own import add_own
from sayso_worker.registry import WORKFLOWS, register
from sayso_worker.sidecar_watch import DaprSidecar, SidecarWatch
from sayso_worker.steady_executor import SteadyExecutor, install_executor
from sayso_worker.work_stream import WorkStream

log = structlog.get_logger()
ACTIVITY_THREADS = 32
STOP_SECONDS = 10.0
WATCH_INTERVAL = timedelta(seconds=2)
STREAM_SECONDS = 0.5
"""How long the watch waits for a stream that is just being connected."""


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    add_own(load_extensions(settings.config_dir))
    directory = directory_source(settings).current()
    ledger = open_ledger(settings.ledger_url, PATIENCE_SECONDS)
    targets = Targets(settings.monitor.allowed_targets)
    partners = PartnerClient(settings.partners_url, settings.partners_timeout.total_seconds(), targets)
    install_executor(LastStepExecutor if settings.last_steps_in_turn else SteadyExecutor)
    # A case's history is short: sending it whole costs less than keeping one of each waiting case here.
    work = WorkStream()
    runtime = WorkflowRuntime(interceptors=[work], maximum_thread_pool_workers=ACTIVITY_THREADS, disable_stateful_history=True)
    work.attach(runtime)
    register(runtime, ledger, partners, Rules(settings, read_ledger_id(ledger), LivePolicies(settings)))
    sender = NoticeSender(directory, settings.state_dir)
    notices = Lane("notices", NoticeLane(ledger, sender, settings.dispatcher).work, settings.dispatcher.poll_interval)
    sidecar = DaprSidecar()
    watch = Lane("watch", SidecarWatch(partial(runtime.wait_for_worker_ready, STREAM_SECONDS), sidecar).work, WATCH_INTERVAL)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    runtime.start()
    notices.start()
    watch.start()
    stop_metrics = serve_metrics("worker", settings.metrics.address, settings.metrics.worker_port)
    log.info("working", workflows=list(WORKFLOWS))
    stopping.wait()
    stop_metrics()
    watch.stop(STOP_SECONDS)
    runtime.shutdown()
    work.close()
    notices.stop(STOP_SECONDS)
    sidecar.close()
    ledger.close()
    log.info("stopped")
