"""Stages of a policy file, checked against directory, calendars and the workflow's request: written in, `StageRule` out.

What is wrong stops the start with file, line and a hint. `approvers_only` takes `anyone` away: then those who are asked decide.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sayso.config_file import ConfigFile, Location, did_you_mean
from sayso.contracts.approval_plan import AfterDeadline, Quorum, QuorumKind, Wait
from sayso.directory import Directory
from sayso.policy.rules import Approver, StageRule
from sayso.policy.waits import Waits
from sayso.policy.written import ApproverWritten, EscalationWritten, QuorumWritten, StageWritten

ESCALATIONS_MAX = 5
WAYS = ("user", "group", "role", "manager_of", "anyone")
BY_COUNT = {QuorumKind.NUMBER: "number", QuorumKind.PERCENT: "percent"}


@dataclass(frozen=True)
class StageReader:
    """What the stages of one file are checked against."""

    file: ConfigFile
    directory: Directory
    waits: Waits
    fields: Collection[str]
    approvers_only: bool

    def rounds(self, written: tuple[StageWritten, ...], at: Location) -> tuple[tuple[StageRule, ...], ...]:
        """The stages of a rule, those that are asked at the same time together."""
        rounds = tuple(self._round(stage, (*at, index)) for index, stage in enumerate(written))
        self._refuse_double_names(rounds, at)
        return rounds

    def _round(self, written: StageWritten, at: Location) -> tuple[StageRule, ...]:
        if written.parallel is None:
            return (self._stage(written, at),)
        if written.model_fields_set != {"parallel"}:
            raise self.file.error(at, "`parallel` stands alone: what else there is to say belongs to its stages")
        if len(written.parallel) < 2 or any(stage.parallel is not None for stage in written.parallel):
            raise self.file.error(
                (*at, "parallel"), "`parallel` has at least two stages, and none of them has a `parallel` of its own"
            )
        return tuple(self._stage(stage, (*at, "parallel", index)) for index, stage in enumerate(written.parallel))

    def _stage(self, written: StageWritten, at: Location) -> StageRule:
        for field, why in (
            ("name", "for example `name: manager`"),
            ("approvers", "who is asked? for example `approvers: {group: managers}`"),
            ("deadline", "no stage waits without an end; for example `deadline: PT24H`"),
        ):
            if not getattr(written, field):
                raise self.file.error(at, f"`{field}` is missing: {why}")
        for field in written.fields:
            if field not in self.fields:
                raise self.file.error((*at, "fields"), f'the request has no "{field}"{did_you_mean(field, self.fields)}')
        return self._asked(written, str(written.name), written, at, 0)

    def _asked(self, written: StageWritten | EscalationWritten, name: str, stage: StageWritten, at: Location, depth: int) -> StageRule:
        """One stage, or the `depth`th escalation of it, which keeps what the stage forbids."""
        approvers, anyone = self._approvers(written.approvers, (*at, "approvers"))
        quorum = self._quorum(written.quorum, (*at, "quorum"))
        if anyone and quorum.kind is not QuorumKind.ANY:
            raise self.file.error((*at, "quorum"), "where anyone may decide the first answer does; leave `quorum` out")
        self._refuse_too_many(quorum, approvers, (*at, "quorum"))
        wait = self.waits.wait(str(written.deadline), (*at, "deadline"))
        return StageRule(
            name=name,
            approvers=approvers,
            anyone=anyone,
            quorum=quorum,
            wait=wait,
            then=self._then(written, quorum, at),
            escalation=self._escalation(written, name, stage, at, depth),
            reminders=tuple(self._reminders(written.reminders, wait, (*at, "reminders"))),
            forbidden=self._forbidden(stage.forbidden, (*at, "forbidden")),
            not_earlier_deciders=stage.earlier_deciders == "forbidden",
            comment=written.comment,
            fields=stage.fields,
        )

    def _escalation(
        self, written: StageWritten | EscalationWritten, name: str, stage: StageWritten, at: Location, depth: int
    ) -> StageRule | None:
        if written.escalate is None:
            return None
        if depth == ESCALATIONS_MAX:
            raise self.file.error((*at, "escalate"), f"a stage escalates at most {ESCALATIONS_MAX} times")
        further = written.escalate
        return self._asked(further, further.name or f"{name}_escalated", stage, (*at, "escalate"), depth + 1)

    def _then(self, written: StageWritten | EscalationWritten, quorum: Quorum, at: Location) -> AfterDeadline:
        escalates = written.escalate is not None
        usual = AfterDeadline.APPROVE if quorum.kind is QuorumKind.VETO else AfterDeadline.TIMEOUT
        then = written.then or (AfterDeadline.ESCALATE if escalates else usual)
        if (then is AfterDeadline.ESCALATE) is not escalates:
            hint = (
                "say to whom: `escalate:` with approvers and deadline"
                if not escalates
                else "only `then: escalate` goes with `escalate:`"
            )
            raise self.file.error((*at, "then"), hint)
        if quorum.kind is QuorumKind.VETO and then is not AfterDeadline.APPROVE:
            raise self.file.error((*at, "then"), "`veto` approves when the time is over; leave `then` out")
        return then

    def _approvers(self, written: tuple[ApproverWritten, ...], at: Location) -> tuple[tuple[Approver, ...], bool]:
        anyone = any(one.anyone for one in written)
        named = tuple(self._approver(one, (*at, index)) for index, one in enumerate(written) if not one.anyone)
        for index, one in enumerate(written):
            self._one_way(one, (*at, index))
        if not named:
            raise self.file.error(at, "anyone may decide, but somebody is asked: name a group, role or user too")
        return named, anyone and not self.approvers_only

    def _forbidden(self, written: tuple[ApproverWritten, ...], at: Location) -> tuple[Approver, ...]:
        for index, one in enumerate(written):
            if one.anyone:
                raise self.file.error((*at, index), "anyone may not be forbidden: nobody could decide")
        return tuple(self._approver(one, (*at, index)) for index, one in enumerate(written))

    def _approver(self, written: ApproverWritten, at: Location) -> Approver:
        way = self._one_way(written, at)
        if way == "manager_of":
            return Approver(None, written.levels_up or 1)
        name = str(getattr(written, way))
        kinds: dict[str, Collection[str]] = {
            "user": self.directory.users,
            "group": self.directory.groups,
            "role": self.directory.roles,
        }
        known = kinds[way]
        if name not in known:
            raise self.file.error((*at, way), f'the directory has no {way} "{name}"{did_you_mean(name, known)}')
        return Approver(name)

    def _one_way(self, written: ApproverWritten, at: Location) -> str:
        ways = [way for way in WAYS if getattr(written, way) is not None]
        if len(ways) != 1:
            raise self.file.error(at, f"name exactly one of {', '.join(WAYS)}; for several write a list")
        if written.levels_up is not None and ways != ["manager_of"]:
            raise self.file.error((*at, "levels_up"), "`levels_up` goes with `manager_of: requester` only")
        return ways[0]

    def _quorum(self, written: QuorumWritten, at: Location) -> Quorum:
        given = [name for name in ("kind", "number", "percent") if getattr(written, name) is not None]
        if not given:
            return Quorum()
        counted = written.kind in BY_COUNT
        if len(given) != 1 or counted:
            raise self.file.error(at, "write any, all, veto, all-responded, `{number: 2}` or `{percent: 60}`")
        if written.kind is not None:
            return Quorum(kind=written.kind)
        return Quorum(kind=QuorumKind(given[0]), of=written.number or written.percent)

    def _refuse_too_many(self, quorum: Quorum, approvers: tuple[Approver, ...], at: Location) -> None:
        """A number that nobody can reach even when all are there."""
        people = {user for one in approvers if one.name for user in self.directory.members_of(one.name)}
        most = len(people) + sum(1 for one in approvers if one.name is None)
        if quorum.kind is QuorumKind.NUMBER and (quorum.of or 0) > most:
            raise self.file.error(at, f"{quorum.of} approvals are asked of {most} {'person' if most == 1 else 'people'}")

    def _reminders(self, written: tuple[str, ...], wait: Wait, at: Location) -> Iterator[Wait]:
        for index, text in enumerate(written):
            reminder = self.waits.wait(text, (*at, index))
            if reminder.seconds is not None and wait.seconds is not None and reminder.seconds >= wait.seconds:
                raise self.file.error((*at, index), f"the reminder {text} comes when the time is over already")
            yield reminder

    def _refuse_double_names(self, rounds: tuple[tuple[StageRule, ...], ...], at: Location) -> None:
        seen: set[str] = set()
        for index, stages in enumerate(rounds):
            for stage in stages:
                asked: StageRule | None = stage
                while asked is not None:
                    if asked.name in seen:
                        raise self.file.error((*at, index), f'the name "{asked.name}" is taken by another stage of this rule')
                    seen.add(asked.name)
                    asked = asked.escalation
