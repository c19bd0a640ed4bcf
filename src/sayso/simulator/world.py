"""The world of one seed: broker, processes, engine and partners over one ledger, stepped until all is quiet.

In: a seed, how many deliveries, a database. Out: a world in which everything has happened and come to rest. What is due next, of
all that is waiting, decides how far time jumps.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from sayso.correlation.bindings import Bindings
from sayso.ledger.cases import Rules
from sayso.ledger.planning import SettingsAlone
from sayso.settings import Settings
from sayso.simulator.broker import Broker
from sayso.simulator.clock import BEGINNING_MS, VirtualClock
from sayso.simulator.databases import Database
from sayso.simulator.engine import SimulatedEngine
from sayso.simulator.finding import Finding
from sayso.simulator.instance import Asked
from sayso.simulator.partners import SimulatedPartners
from sayso.simulator.policies import OneStage, Seats
from sayso.simulator.processes import NoticeWitness, SubscribersReplica, Surroundings, WorkerReplica
from sayso.simulator.publisher import SimulatedPublisher
from sayso.simulator.scenarios import HOUR, Scenario
from sayso.simulator.scheduler import NeverAtRestError, Process, Scheduler, Weather
from sayso.simulator.traffic import Message, Traffic
from sayso_worker.registry import WORKFLOWS

WAVE_CASES_MAX = 40
WAVES_APART_MS = (0, 1_000, 60_000, HOUR, 5 * HOUR)
RESTARTS_MS = (2_000, 2_000, 10_000, 10 * 60_000)
BURST = 64
JUMPS_MS = (-10 * 60_000, -1_000, 1_000, 10 * 60_000)
POLL_MS = 200
QUIET_AFTER_DAYS = 40
STEPS_AT_LEAST, STEPS_A_DELIVERY = 3_000, 200
"""Of turns and points, a run may take so many. Most of those that come to rest need 20 a delivery, the busiest seen 61: while a lane
pauses for half a minute of virtual time over what is due, the others look at it again and again.
"""
DUE = {
    "events": "SELECT state, count(*), min(reason) FROM events WHERE due_at_ms IS NOT NULL GROUP BY state",
    "cases": "SELECT phase, count(*), min(last_error) FROM cases WHERE due_at_ms IS NOT NULL GROUP BY phase",
    "publications": "SELECT topic, count(*), min(last_error) FROM outbox WHERE due_at_ms IS NOT NULL GROUP BY topic",
    "comparisons": "SELECT phase, count(*), min(finding) FROM cases WHERE check_at_ms IS NOT NULL GROUP BY phase",
}
"""What a run that never comes to rest still has to do."""


def _policies(scenario: Scenario, settings: Settings) -> SettingsAlone:
    if scenario.seats:
        return Seats(settings)
    return OneStage(settings) if scenario.stages else SettingsAlone()


class World:
    """One seed's world; `run` lets everything happen."""

    def __init__(self, seed: int, database: Database, bindings: Bindings, settings: Settings, scenario: Scenario) -> None:
        self.rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self.clock = VirtualClock()
        self.weather = drawn_weather(self.rng, scenario)
        self._scenario = scenario
        self.scheduler = Scheduler(self.rng, self.clock, self.weather)
        self.broker = Broker(self.scheduler)
        self.engine = SimulatedEngine(WORKFLOWS, self.scheduler)
        self.partners = SimulatedPartners(self.scheduler)
        self.publisher = SimulatedPublisher(self.scheduler)
        self.notices = NoticeWitness()
        self.database = database
        self.said: list[Asked] = []
        self._surroundings = Surroundings(
            self.scheduler,
            lambda: database.ledger(self.scheduler),
            self.engine,
            self.publisher,
            self.partners,
            bindings,
            Rules(settings, "51a51a", _policies(scenario, settings)),
            settings,
        )
        self.lost_instances = 0
        self.unrest: list[Finding] = []
        self._rounds = 0
        self._restarts: list[tuple[int, Callable[[], None]]] = []
        self.scheduler.on_crash = self._crashed
        self._subscribers = [self._subscribers_replica(number) for number in range(2)]
        self._workers = [self._worker_replica(number) for number in range(2)]

    def run(self, deliveries: int) -> None:
        """Send until so many deliveries were made, then let everything come to rest."""
        self._bounded(lambda: self._send_waves(deliveries))

    def replay(self, messages: list[Message]) -> None:
        """Send exactly these messages, then let everything come to rest."""
        self.broker.send(messages)
        self._bounded(self._rest)

    def _send_waves(self, deliveries: int) -> None:
        traffic = Traffic(self.rng, self._scenario)
        wave_at_ms = 0
        cases = min(WAVE_CASES_MAX, max(4, deliveries // 12))
        while self.broker.deliveries < deliveries:
            self.broker.send(traffic.wave(wave_at_ms, cases))
            wave_at_ms += self.rng.choice(WAVES_APART_MS)
            self._run_until(BEGINNING_MS + wave_at_ms)
        self._rest()

    def _rest(self) -> None:
        """Calm weather, until nothing is waiting any more; some scenarios first let bad weather last until the deadlines."""
        if self._scenario.calm_after_ms:
            self._run_until(self.clock.now_ms + self._scenario.calm_after_ms)
        self.weather.calm_down()
        self._run_until(self.clock.now_ms + QUIET_AFTER_DAYS * 24 * HOUR)
        if self._next_moment() is not None:
            raise NeverAtRestError

    def _bounded(self, happen: Callable[[], None]) -> None:
        """Neither turns nor virtual time without end: what does not come to rest is stopped, and says what it still wanted to do."""
        try:
            happen()
        except NeverAtRestError:
            processes = [replica.process for replica in self._subscribers] + [replica.process for replica in self._workers]
            for process in processes:
                self.scheduler.kill(process)
            how = f"{self.scheduler.steps} steps, until {self.clock.now:%Y-%m-%d %H:%M}, and still due: {'; '.join(self._still_due())}"
            self.unrest.append(Finding("never at rest", "the run", how))

    def _still_due(self) -> Iterator[str]:
        for kind, query in DUE.items():
            for what, count, why in self.database.rows(query):
                yield f"{count} {kind} {what} ({why})" if why else f"{count} {kind} {what}"
        if self.broker.waiting:
            yield f"{self.broker.waiting} deliveries"
        if self.engine.has_turns or self.engine.activities or self.engine.next_timer_ms() is not None:
            yield "turns, activities or timers of the engine"

    def _run_until(self, until_ms: int) -> None:
        while True:
            self.scheduler.steps_max = self.database.patience * (STEPS_AT_LEAST + STEPS_A_DELIVERY * self.broker.deliveries)
            self.scheduler.take_turn()
            self._begin_what_is_due()
            self.scheduler.run()
            next_ms = self._next_moment()
            if next_ms is None or next_ms > until_ms:
                return
            self.clock.advance_to(next_ms)
            if self.rng.random() < self.weather.jump:
                self._jump()
            if self.rng.random() < self.weather.amnesia:
                self.lost_instances += self.engine.lose(self.rng.choice((0.02, 0.3, 1.0)))

    def _jump(self) -> None:
        """Somebody sets the clock of the ledger: ahead, or back."""
        span_ms = self.rng.choice(JUMPS_MS)
        if span_ms < 0:
            self.broker.times_are_unsure()
        self.clock.now_ms += span_ms

    def _begin_what_is_due(self) -> None:
        self.scheduler.wake_sleepers()
        self._restart_processes()
        self.engine.fire_timers()
        subscribers = [replica for replica in self._subscribers if replica.process.alive]
        workers = [replica for replica in self._workers if replica.process.alive]
        if subscribers:
            for number in self.broker.due(BURST):
                self._hand_over(self.rng.choice(subscribers), number)
            self._wake_lanes(subscribers)
        if workers:
            self.engine.take_turns()
            while self.engine.last_steps:
                self.rng.choice(workers).take_last_step(self.engine.last_steps.popleft())
            while self.engine.activities:
                self.rng.choice(workers).perform(self.engine.activities.popleft())
            if self.weather.notices and self.database.has_due("notices", self.clock.now_ms):
                self.rng.choice(workers).notify()

    def _wake_lanes(self, subscribers: list[SubscribersReplica]) -> None:
        now_ms = self.clock.now_ms
        for table, wake in (
            ("events", SubscribersReplica.route),
            ("cases", SubscribersReplica.drive),
            ("outbox", SubscribersReplica.publish),
            ("checks", SubscribersReplica.reconcile),
        ):
            if self.database.has_due(table, now_ms):
                for replica in subscribers if self.rng.random() < 0.2 else [self.rng.choice(subscribers)]:
                    wake(replica)

    def _hand_over(self, replica: SubscribersReplica, number: int) -> None:
        message = self.broker.messages[number]

        def answered(taken: bool) -> None:
            if taken:
                self.broker.acknowledged(number)
            else:
                self.broker.not_acknowledged(number)

        replica.receive(message.topic, message.body, answered)

    def _next_moment(self) -> int | None:
        somebody_subscribes = any(replica.process.alive for replica in self._subscribers)
        somebody_works = any(replica.process.alive for replica in self._workers)
        has_work = self.engine.has_turns or self.engine.activities
        moments = (
            self.broker.next_ms() if somebody_subscribes else None,
            self.engine.next_timer_ms(),
            self.scheduler.next_wake_ms(),
            min((at_ms for at_ms, _ in self._restarts), default=None),
            self.database.next_due_ms() if somebody_subscribes else None,
            self.clock.now_ms if has_work and somebody_works else None,
        )
        known = [moment for moment in moments if moment is not None]
        if not known:
            return None
        now_ms = self.clock.now_ms
        next_ms = min(known)
        if next_ms > now_ms:
            self._rounds = 0
            return next_ms
        self._rounds += 1
        return now_ms + POLL_MS if self._rounds % self.database.rounds_at_one_moment == 0 else now_ms

    def _subscribers_replica(self, number: int) -> SubscribersReplica:
        return SubscribersReplica(self._surroundings, Process(f"subscribers-{number}"))

    def _worker_replica(self, number: int) -> WorkerReplica:
        return WorkerReplica(self._surroundings, Process(f"worker-{number}"), self.notices, self._saw)

    def _saw(self, asked: Asked) -> None:
        self.said.append(asked)

    def _crashed(self, process: Process) -> None:
        """It comes back after a while, with nothing in its memory."""
        kind, _, number = process.name.partition("-")

        def restart() -> None:
            if kind == "subscribers":
                self._subscribers[int(number)] = self._subscribers_replica(int(number))
            else:
                self._workers[int(number)] = self._worker_replica(int(number))
                self.engine.forget_generators()

        self._restarts.append((self.clock.now_ms + self.rng.choice(RESTARTS_MS), restart))

    def _restart_processes(self) -> None:
        due = [entry for entry in self._restarts if entry[0] <= self.clock.now_ms]
        self._restarts = [entry for entry in self._restarts if entry[0] > self.clock.now_ms]
        for _, restart in due:
            restart()


def drawn_weather(rng: random.Random, scenario: Scenario) -> Weather:
    """Some seeds have calm weather, some none at all."""
    strength = rng.choice((0.2, 1.0, 1.0, 3.0))
    drawn = Weather(
        switch=rng.choice((0.05, 0.2, 0.5)),
        slow=0.002 * strength,
        crash=0.0005 * strength,
        lost_answer=0.01 * strength,
        engine_down=0.01 * strength,
        ledger_down=0.001 * strength,
        lost_ack=min(0.3, 0.08 * strength),
        duplicate=rng.choice((0.5, 0.6, 0.7)),
        delay=min(0.6, 0.2 * strength),
        jump=0.003 * strength,
        amnesia=rng.choice((0.0, 0.0, 0.0, 0.001)),
        notices=rng.random() < 0.1,
    )
    return replace(drawn, **scenario.weather)
