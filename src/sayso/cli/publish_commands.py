"""`sayso publish`: events onto their topics, as any other system would put them there."""

from __future__ import annotations

from typing import Annotated

import typer

from sayso.cli.output import Json

EventFile = Annotated[str, typer.Argument(metavar="FILE", help="A CloudEvent as JSON, an array of them, or JSON lines; - is stdin.")]
Topic = Annotated[
    str | None, typer.Option("--topic", metavar="TOPIC", help="The topic; without it, the bindings say it by the event's type.")
]
Sign = Annotated[
    str | None, typer.Option("--sign", metavar="SENDER", help="Sign as this sender of senders.yaml, with its key on this machine.")
]
AboutFile = Annotated[
    str | None, typer.Option("--about", metavar="FILE", help="Before its case comes: the file of the request that is decided about.")
]


def publish(
    file: EventFile,
    topic: Topic = None,
    event_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="Give the one event this id.")] = None,
    source: Annotated[str | None, typer.Option("--source", metavar="SOURCE", help="Give the events this source.")] = None,
    fill: Annotated[
        bool, typer.Option("--fill", help="Add what is missing: id, time, specversion, source /sayso/cli, datacontenttype.")
    ] = False,
    sign: Sign = None,
    about: AboutFile = None,
    as_json: Json = False,
) -> None:
    """Publish events to the broker, through the running stack's sidecar.

    All events of the file are checked before the first is published. What became of one is asked with `sayso event ID`.
    """
    from sayso.cli.publishing import Signing, publish_file  # noqa: PLC0415 - CEL and gRPC take a moment to load

    given = {name: value for name, value in (("id", event_id), ("source", source)) if value is not None}
    publish_file(file, topic, given, Signing(sign, about), fill=fill, as_json=as_json)


def explain(file: EventFile, topic: Topic = None, as_json: Json = False) -> None:
    """Say what would become of events if they came now, without publishing anything.

    Exit code: 0 it would be used, held or kept; 3 rejected as malformed; 4 refused, late, in conflict or not matched by any binding.
    Of several events the highest code counts.
    """
    from sayso.cli.explaining import explain_file  # noqa: PLC0415 - CEL and database drivers take a moment to load

    raise typer.Exit(explain_file(file, topic, as_json=as_json))
