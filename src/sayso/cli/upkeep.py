"""What is done before something is started: the ledger's tables, and the configuration read as the processes read it."""

from __future__ import annotations

from typing import Any

from sayso.cli.output import out, print_json, printable, say, table
from sayso.correlation.bindings import Bindings, load_bindings
from sayso.directory import load_directory
from sayso.ledger import open_ledger, read_ledger_id
from sayso.ledger.queries.reading import in_words, place_of
from sayso.services import load_services
from sayso.stack_address import find_stack


def upgrade_ledger(*, as_json: bool) -> None:
    """Bring the tables to this version."""
    url = find_stack().ledger_url
    place = in_words(place_of(url))
    ledger = open_ledger(url)
    try:
        ledger_id = read_ledger_id(ledger)
    finally:
        ledger.close()
    if as_json:
        print_json({"ledger": place, "id": ledger_id})
    else:
        out().print(f"the ledger at {printable(place)} has the tables of this version (id {ledger_id})", markup=False)


def check_configuration(*, as_json: bool) -> None:
    """Read settings, bindings, directory and services; the first that is wrong raises."""
    stack = find_stack()
    folder = stack.settings.config_dir
    bindings = load_bindings(folder / "bindings.yaml")
    directory = load_directory(folder / "directory.yaml")
    services = load_services(folder / "services.yaml")
    document = {
        "folder": str(folder),
        "topics": list(bindings.topics),
        "bindings": _rules(bindings),
        "users": sorted(directory.users),
        "groups": sorted(directory.groups),
        "services": {name: service.url for name, service in services.services.items()},
        "ledger": in_words(place_of(stack.ledger_url)),
    }
    if as_json:
        print_json(document)
        return
    console = out()
    rows = ([rule["name"], rule["topic"], rule["type"], rule["does"]] for rule in _rules(bindings))
    console.print(table(("BINDING", "TOPIC", "TYPE", "DOES"), rows))
    console.print()
    console.print(f"people    {len(directory.users)} users, {len(directory.groups)} groups", markup=False)
    for name, service in services.services.items():
        console.print(f"service   {name} at {service.url}", markup=False)
    console.print(f"ledger    {printable(document['ledger'])}", markup=False)
    say((f"{folder}: all of it is valid", "green"))


def _rules(bindings: Bindings) -> list[dict[str, Any]]:
    return [
        {"name": rule.name, "topic": rule.topic, "type": rule.type, "does": rule.does, "when": rule.when.text if rule.when else None}
        for rule in bindings.rules
    ]
