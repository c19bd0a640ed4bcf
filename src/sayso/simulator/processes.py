"""Processes: replicas of subscribers and workers, made of the production lanes, and made anew after a crash.

In: a database, an engine, a publisher, partners. Out: functions that do one turn of a lane, each to be run as an actor. The threads of
production are gone; what runs in them is not.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, cast

from dapr.ext.grpc import TopicEventResponse

from sayso.correlation.bindings import Bindings
from sayso.errors import SaysoError
from sayso.ledger import Ledger
from sayso.ledger.cases import Rules
from sayso.services import PartnerClient
from sayso.settings import Settings
from sayso.signing.notary import unchecked
from sayso.simulator.engine import Call, LastStep, SimulatedEngine
from sayso.simulator.instance import Asked
from sayso.simulator.partners import SimulatedPartners
from sayso.simulator.publisher import SimulatedPublisher
from sayso.simulator.scheduler import Process, Scheduler
from sayso_subscribers.drive import Driver
from sayso_subscribers.publish import OutboxPublisher
from sayso_subscribers.receive import receiver
from sayso_subscribers.reconcile import Reconciler
from sayso_subscribers.route import Router
from sayso_worker.activities.send_notices import NoticeLane
from sayso_worker.activities.steps import approval_activities, confirm_deadline_activity, step_activity
from sayso_worker.registry import STEPS

SUCCESS = TopicEventResponse("success").status


@dataclass(frozen=True)
class Surroundings:
    """What every process finds: its own view of the ledger, and the rest of the world."""

    scheduler: Scheduler
    open_ledger: Callable[[], Ledger]
    engine: SimulatedEngine
    publisher: SimulatedPublisher
    partners: SimulatedPartners
    bindings: Bindings
    rules: Rules
    settings: Settings


class ActorPool(Executor):
    """A thread pool whose threads are actors."""

    def __init__(self, scheduler: Scheduler, process: Process) -> None:
        self._scheduler = scheduler
        self._process = process
        self.running = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """See `Executor.submit`."""
        future: Future[Any] = Future()
        self.running += 1

        def run() -> None:
            future.set_result(fn(*args, **kwargs))
            self.running -= 1

        self._scheduler.spawn(self._process, run)
        return future


@dataclass(frozen=True, slots=True, eq=False)
class RawMessage:
    """What daprd hands over, as far as the handler looks at it."""

    where: str
    body: bytes

    def topic(self) -> str:
        """See `SubscriptionMessage`."""
        return self.where

    def raw_data(self) -> bytes:
        """See `SubscriptionMessage`."""
        return self.body


class Lanes:
    """The lanes of a process, each run by one actor at a time."""

    def __init__(self, scheduler: Scheduler, process: Process) -> None:
        self._scheduler = scheduler
        self._process = process
        self._busy: set[str] = set()

    def turn(self, name: str, work: Callable[[], bool]) -> None:
        """Let the lane work until it has nothing more to do at once; what fails is tried again when it is next woken."""
        if name in self._busy:
            return
        self._busy.add(name)

        def run() -> None:
            try:
                while work():
                    self._scheduler.point()
            except SaysoError:
                pass
            finally:
                self._busy.discard(name)

        self._scheduler.spawn(self._process, run)


class SubscribersReplica:
    """One replica of `subscribers`."""

    def __init__(self, world: Surroundings, process: Process) -> None:
        self.process = process
        self._world = world
        settings = world.settings.dispatcher
        ledger = world.open_ledger()
        self._pool = ActorPool(world.scheduler, process)
        self._places = settings.engine_calls
        self._lanes = Lanes(world.scheduler, process)
        clock = world.scheduler.clock
        self._driver = Driver(ledger, world.engine, world.settings, self._pool, lambda: clock.seconds)
        self._reconciler = Reconciler(ledger, world.engine, world.bindings, world.settings, lambda: clock.seconds, lambda: clock.now)
        self._outbox = OutboxPublisher(ledger, world.publisher, settings)
        self._router = Router(ledger, world.bindings, unchecked, world.rules, lambda _more: None)
        self._receive = receiver(ledger, lambda: None)

    def receive(self, topic: str, body: bytes, answered: Callable[[bool], None]) -> None:
        """Let the handler take one message; a process that dies before it has answered has not answered."""
        message = RawMessage(topic, body)
        self.process.in_hand[message] = lambda: answered(False)

        def run() -> None:
            answer = self._receive(cast("Any", message))
            self._world.scheduler.point()
            del self.process.in_hand[message]
            answered(answer.status is SUCCESS)

        self._world.scheduler.spawn(self.process, run)

    def route(self) -> None:
        """Wake the routing lane."""
        self._lanes.turn("route", self._router.work)

    def drive(self) -> None:
        """Wake the driving lane, unless all of its places are taken."""
        self._lanes.turn("drive", self._drive)

    def publish(self) -> None:
        """Wake the publishing lane."""
        self._lanes.turn("publish", lambda: self._outbox.work() is True)

    def reconcile(self) -> None:
        """Wake the reconciling lane."""
        self._lanes.turn("reconcile", self._reconciler.work)

    def _drive(self) -> bool:
        return self._pool.running < self._places and self._driver.work()


class NoticeWitness:
    """Where notices go."""

    def __init__(self) -> None:
        self.sent: dict[str, int] = {}

    def send(self, _recipient: str, _title: str, _body: str, notice_id: str) -> None:
        """See `NoticeSender`."""
        self.sent[notice_id] = self.sent.get(notice_id, 0) + 1


class WorkerReplica:
    """One replica of `worker`."""

    def __init__(self, world: Surroundings, process: Process, witness: NoticeWitness, saw: Callable[[Asked], None]) -> None:
        self.process = process
        self._world = world
        self._saw = saw
        ledger = world.open_ledger()
        partners = cast("PartnerClient", world.partners)
        self._activities: dict[str, Any] = {name: step_activity(name, effect, ledger, partners) for name, effect in STEPS.items()}
        self._activities["confirm_deadline"] = confirm_deadline_activity(ledger)
        self._activities |= approval_activities(ledger, world.rules.policies)
        self._lanes = Lanes(world.scheduler, process)
        self._notices = NoticeLane(ledger, cast("Any", witness), world.settings.dispatcher)

    def perform(self, call: Call) -> None:
        """Do an activity; whatever it raises is tried again by the engine's retry policy."""

        def run() -> None:
            asked = call.asked
            assert asked.activity is not None
            try:
                answer = self._activities[asked.activity](None, asked.content)
            except SaysoError as error:
                self.process.in_hand.pop(run)
                engine.failed(call, error)
                return
            self._world.scheduler.point()
            self.process.in_hand.pop(run)
            engine.answer(call, answer)
            if self._world.scheduler.rng.random() < self._world.scheduler.weather.lost_answer:
                engine.try_again(call)  # the engine did not hear of it

        engine = self._world.engine
        self.process.in_hand[run] = lambda: engine.try_again(call)
        self._saw(call.asked)
        self._world.scheduler.spawn(self.process, run)

    def take_last_step(self, step: LastStep) -> None:
        """Take it within its turn; what does not go well is the engine's."""
        engine, scheduler = self._world.engine, self._world.scheduler

        def run() -> None:
            assert step.asked.activity is not None
            try:
                answer = self._activities[step.asked.activity](None, step.asked.content)
            except SaysoError:
                self.process.in_hand.pop(run)
                engine.leave_to_engine(step)
                return
            scheduler.point()
            self.process.in_hand.pop(run)
            if scheduler.rng.random() < scheduler.weather.lost_answer:
                engine.undo_turn(step)
            else:
                engine.end_turn(step, answer)

        self.process.in_hand[run] = lambda: engine.undo_turn(step)
        self._saw(step.asked)
        scheduler.spawn(self.process, run)

    def notify(self) -> None:
        """Wake the notices lane."""
        self._lanes.turn("notices", self._notices.work)
