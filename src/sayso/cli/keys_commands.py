"""`sayso keys new|rotate|list`: the keys of senders."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sayso.cli.output import Json

keys_app = typer.Typer(no_args_is_help=True, help="Keys of senders: who may sign decisions (docs/signing.md).")

Sender = Annotated[str, typer.Argument(metavar="SENDER", help="The sender's name in senders.yaml.")]
Folder = Annotated[Path | None, typer.Option("--out", metavar="FOLDER", help="Where to; by default the `keys` of the state folder.")]


class Algorithm(StrEnum):
    """How a key signs."""

    EDDSA = "EdDSA"
    HS256 = "HS256"


@keys_app.command()
def new(
    sender: Sender,
    algorithm: Annotated[
        Algorithm, typer.Option("--algorithm", help="EdDSA: a pair, of which Sayso gets the public half. HS256: one shared secret.")
    ] = Algorithm.EDDSA,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Make a sender's first key, and say what to write into senders.yaml. The secret goes into a file for its owner alone."""
    from sayso.cli.key_making import new_key  # noqa: PLC0415 - cryptography takes a moment to load

    new_key(sender, algorithm.value, folder, as_json=as_json)


@keys_app.command()
def rotate(sender: Sender, folder: Folder = None, as_json: Json = False) -> None:
    """Make a sender's next key beside the present one, and say how one takes over from the other."""
    from sayso.cli.key_making import rotate_key  # noqa: PLC0415 - as above

    rotate_key(sender, folder, as_json=as_json)


@keys_app.command("list")
def list_keys(as_json: Json = False) -> None:
    """Every key of senders.yaml: whose, where, and whether it is usable. Exit code 1 when one is missing or wrong."""
    from sayso.cli.key_making import show_keys  # noqa: PLC0415 - as above

    raise typer.Exit(show_keys(as_json=as_json))
