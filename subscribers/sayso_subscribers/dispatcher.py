"""The dispatcher: one component that routes, drives, publishes, reconciles, carries out acts and raises alarms, and sweeps up what a
crash left due.

There is no second path.
"""

from __future__ import annotations

from datetime import timedelta

from sayso.correlation.bindings import Bindings
from sayso.engine import Engine
from sayso.lanes import Lane
from sayso.ledger import Ledger
from sayso.ledger.cases import Rules
from sayso.ledger.planning import Policies, SettingsAlone
from sayso.publisher import Publisher
from sayso.settings import Settings
from sayso.signing.notary import Vouch, notary_of
from sayso_subscribers.act import ActLane
from sayso_subscribers.alarm_watch import AlarmWatch
from sayso_subscribers.drive import Driver
from sayso_subscribers.publish import OutboxPublisher
from sayso_subscribers.reconcile import Reconciler
from sayso_subscribers.route import Router

STOP_SECONDS = 10.0
RECONCILE_INTERVAL = timedelta(seconds=1)


class Dispatcher:
    """Six lanes over one ledger."""

    def __init__(
        self,
        ledger: Ledger,
        engine: Engine,
        publisher: Publisher,
        bindings: Bindings,
        settings: Settings,
        ledger_id: str,
        policies: Policies | None = None,
        vouch: Vouch | None = None,
    ) -> None:
        poll_interval = settings.dispatcher.poll_interval
        self._driver = Driver(ledger, engine, settings)
        outbox = OutboxPublisher(ledger, publisher, settings.dispatcher)
        rules = Rules(settings, ledger_id, policies or SettingsAlone())
        router = Router(ledger, bindings, vouch or notary_of(settings).vouch, rules, self._after_routing, self._driver.follow)
        reconciler = Reconciler(ledger, engine, bindings, settings)
        self._routing = Lane("route", lambda: reconciler.has_surveyed and router.work(), poll_interval)
        self._driving = Lane("drive", self._driver.work, poll_interval)
        self._publishing = Lane("publish", outbox.work, poll_interval)
        self._reconciling = Lane("reconcile", reconciler.work, RECONCILE_INTERVAL)
        self._acting = Lane("act", ActLane(ledger, engine, settings.dispatcher).work, poll_interval)
        alarms = AlarmWatch(ledger, settings.alarms, self._publishing.wake)
        self._watching = Lane("alarms", alarms.work, settings.alarms.interval)
        self._lanes = (self._routing, self._driving, self._publishing, self._reconciling, self._acting, self._watching)

    def start(self) -> None:
        """Begin with whatever is due."""
        for lane in self._lanes:
            lane.start()

    def wake(self) -> None:
        """A message has been committed."""
        self._routing.wake()

    def stop(self) -> None:
        """Finish what is in hand."""
        for lane in self._lanes:
            lane.stop(STOP_SECONDS)
        self._driver.stop()

    def _after_routing(self, more_to_drive: bool) -> None:
        if more_to_drive:
            self._driving.wake()
        self._publishing.wake()
