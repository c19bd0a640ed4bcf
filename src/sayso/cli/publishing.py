"""Publishing events of a file: read, complete, check, find the topic, publish.

Invariant: all events of a file are understood before the first one is published.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sayso.cli.event_files import completed, read_input, split_events
from sayso.cli.output import argument, out, print_json, printable, say
from sayso.cli.signing import about_event, desk_of, looked_at, requests_in, requests_of_file, signed
from sayso.config_file import did_you_mean
from sayso.contracts.cloudevent import IncomingEvent, parse_event
from sayso.correlation.bindings import Bindings
from sayso.correlation.correlate import correlate
from sayso.correlation.verdict import Rejected, Resume, Start, Unmatched, Verdict
from sayso.errors import ConfigurationError, MalformedError, TransientError
from sayso.ledger import Ledger
from sayso.ledger.loaded import loaded_bindings
from sayso.ledger.queries.outlook import SIGHTING, Outlook, outlook
from sayso.ledger.states import FAILED
from sayso.publisher import Message, Publisher
from sayso.stack_address import StackAddress, find_stack


@dataclass(frozen=True)
class Outgoing:
    """An event on its way: its topic, its bytes, and what the bindings make of it."""

    topic: str
    event: IncomingEvent
    body: bytes
    verdict: Verdict

    @property
    def key(self) -> str:
        """The business key: on Kafka it chooses the partition."""
        return self.verdict.key if isinstance(self.verdict, Start | Resume) else self.event.id


@dataclass(frozen=True)
class Signing:
    """Who signs what is published, if anybody, and the file of the requests that are decided about."""

    sender: str | None = None
    about: str | None = None


def publish_file(file: str, topic: str | None, given: Mapping[str, str], signing: Signing, *, fill: bool, as_json: bool) -> None:
    """Publish the file's events and say how to follow them."""
    stack = find_stack()
    bindings = stack.bindings()
    events = prepared(file, topic, given, bindings, fill=fill)
    if signing.sender is not None:
        events = _signed(events, stack, bindings, signing.sender, signing.about)
    events = [replace(each, verdict=looked_at(stack, each.verdict)) for each in events]
    foretold = _foretold(stack, bindings, events)
    publisher = stack.publisher()
    try:
        publish_events(publisher, events)
    finally:
        publisher.close()
    if as_json:
        print_json(
            [
                {"id": each.event.id, "source": each.event.source, "type": each.event.type, "topic": each.topic, "key": each.key}
                for each in events
            ]
        )
        return
    for each, likely in zip(events, foretold, strict=True):
        out().print(f"published {printable(each.event.id)} on {printable(each.topic)}", markup=False)
        _warn(each, likely)
    followed = events[0].event
    say(f"what became of it: sayso event {argument(followed.id, '#NUMBER')}")


def prepared(file: str, topic: str | None, given: Mapping[str, str], bindings: Bindings, *, fill: bool) -> list[Outgoing]:
    """Every event of the file, completed and checked; the first one that is wrong is an error with its number."""
    texts = split_events(read_input(file), file)
    if "id" in given and len(texts) > 1:
        raise ConfigurationError(f"--id is for one event, {file} has {len(texts)}")
    name = "stdin" if file == "-" else file
    return [
        _prepared(text, f"{name}, event {number}" if len(texts) > 1 else name, topic, given, bindings, fill=fill)
        for number, text in enumerate(texts, start=1)
    ]


def _prepared(text: str, name: str, topic: str | None, given: Mapping[str, str], bindings: Bindings, *, fill: bool) -> Outgoing:
    body = completed(text, name, given, fill=fill).encode()
    try:
        event = parse_event(body)
    except MalformedError as error:
        raise MalformedError(f"{name}: {error}") from error
    chosen = topic if topic is not None else topic_of(bindings, event.type)
    return Outgoing(chosen, event, body, correlate(bindings, chosen, body))


def _signed(events: list[Outgoing], stack: StackAddress, bindings: Bindings, sender: str, about: str | None) -> list[Outgoing]:
    """Those that the sender may sign, with its signature."""
    desk = desk_of(stack, bindings)
    rule = desk.senders.rules.get(sender)
    requests = requests_of_file(about, bindings) | requests_in(each.verdict for each in events)
    done: list[Outgoing] = []
    for each in events:
        if rule is not None and each.event.type not in rule.types:
            done.append(each)
            continue
        pen = desk.pen(sender, each.event.type)
        body = signed(pen, each.body, each.verdict, about_event(stack, each.verdict, requests))
        done.append(replace(each, event=parse_event(body), body=body, verdict=correlate(bindings, each.topic, body)))
    if all(before is after for before, after in zip(events, done, strict=True)):
        raise ConfigurationError(f"{sender} may sign none of these types: `types` in senders.yaml says which")
    return done


def topic_of(bindings: Bindings, event_type: str) -> str:
    """The one topic on which the bindings expect this type; `ConfigurationError` when there is none, or more than one."""
    topics = sorted({rule.topic for rule in bindings.rules if rule.type == event_type})
    if len(topics) == 1:
        return topics[0]
    if topics:
        raise ConfigurationError(f'"{event_type}" comes on several topics: choose one with --topic {"|".join(topics)}')
    near = did_you_mean(event_type, {rule.type for rule in bindings.rules})
    raise ConfigurationError(f'no binding takes "{event_type}"{near} (or name the topic with --topic)')


def publish_events(publisher: Publisher, events: Sequence[Outgoing]) -> None:
    """Publish them, those of one topic and key in order; `TransientError` names those that the broker did not take."""
    by_topic: dict[str, list[Outgoing]] = defaultdict(list)
    for each in events:
        by_topic[each.topic].append(each)
    for topic, batch in by_topic.items():
        messages = [Message(number, each.key, each.body) for number, each in enumerate(batch)]
        failed = publisher.publish(topic, messages)
        if failed:
            ids = ", ".join(batch[number].event.id for number in sorted(failed)[:5])
            why = next(iter(failed.values()))
            raise TransientError(f"{len(failed)} of {len(batch)} events were not published on {topic} ({ids}): {why}")


def _foretold(stack: StackAddress, bindings: Bindings, events: Sequence[Outgoing]) -> list[Outlook | None]:
    """What the ledger would make of each if it came now; nothing where there is no ledger to ask."""
    try:
        ledger = stack.ledger()
    except ConfigurationError:
        return [None] * len(events)
    try:
        warn_of_old_bindings(stack, ledger, bindings)
        return [
            ledger.read(partial(outlook, topic=each.topic, original=each.body, verdict=each.verdict, settings=stack.settings))
            for each in events
        ]
    finally:
        ledger.close()


def warn_of_old_bindings(stack: StackAddress, ledger: Ledger, bindings: Bindings) -> None:
    """A stack that runs with other bindings than the file's treats events otherwise than foretold."""
    loaded = ledger.read(loaded_bindings)
    if stack.sidecar is not None and loaded not in (None, bindings.digest):
        say(
            ("note: the running stack has loaded other bindings than the file's: ", "yellow"),
            "restart it: sayso down && sayso up --detach",
        )


def _warn(each: Outgoing, foretold: Outlook | None) -> None:
    """What is published without hope is worth a word; it is still what was asked for."""
    if foretold is not None and foretold.state == SIGHTING:
        say(("note: it is a repetition: ", "yellow"), printable(foretold.reason))
        return
    if foretold is not None and foretold.state in FAILED:
        say((f"note: it will be {foretold.state}: ", "yellow"), printable(foretold.reason))
        return
    if isinstance(each.verdict, Rejected | Unmatched):
        word = "rejected" if isinstance(each.verdict, Rejected) else "unmatched"
        say((f"note: it will be {word}: ", "yellow"), printable(each.verdict.reason))
