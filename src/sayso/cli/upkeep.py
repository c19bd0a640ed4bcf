"""What is done before something is started: the ledger's tables, and the configuration read as the processes read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sayso.cli.output import out, print_json, printable, say, table
from sayso.correlation.bindings import Bindings, load_bindings
from sayso.errors import ConfigurationError
from sayso.ledger import open_ledger, read_ledger_id
from sayso.ledger.backup import back_up, refuse_no_file, restore
from sayso.ledger.queries.reading import in_words, place_of
from sayso.policy.rulebook import load_rulebook
from sayso.services import load_services
from sayso.signing.startup import check_senders
from sayso.stack import leftovers
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


def back_up_ledger(file: Path, *, as_json: bool) -> None:
    """Write the backup."""
    ledger = find_stack().ledger()
    try:
        count = back_up(ledger, file)
    finally:
        ledger.close()
    if as_json:
        print_json({"file": str(file), "events": count})
    else:
        out().print(f"{printable(str(file))} has the ledger with {count} events", markup=False)


def restore_ledger(file: Path, *, replace: bool, as_json: bool) -> None:
    """Restore the backup into the ledger of this stack, which must be stopped."""
    stack = find_stack()
    if leftovers.supervisor_of(stack.state) is not None:
        raise ConfigurationError("the stack is running; stop it first: sayso down")
    refuse_no_file(file)
    ledger = open_ledger(stack.ledger_url)
    try:
        count = restore(ledger, file, replace=replace)
    finally:
        ledger.close()
    if as_json:
        print_json({"ledger": in_words(place_of(stack.ledger_url)), "events": count})
        return
    out().print(f"the ledger is as it was when {printable(str(file))} was written, with {count} events", markup=False)
    say("when the stack starts, it asks the engine for what the ledger does not know")


def check_configuration(*, as_json: bool) -> None:
    """Read settings, bindings, senders, directory, calendars, policies and services; the first that is wrong raises."""
    stack = find_stack()
    folder = stack.settings.config_dir
    bindings = load_bindings(folder / "bindings.yaml")
    rulebook = load_rulebook(stack.settings)
    directory = rulebook.directory
    services = load_services(folder / "services.yaml")
    senders = check_senders(bindings, stack.settings, may_create=False)
    document = {
        "folder": str(folder),
        "topics": list(bindings.topics),
        "bindings": _rules(bindings),
        "users": sorted(directory.users),
        "groups": sorted(directory.groups),
        "policies": {workflow: policy.name for workflow, policy in rulebook.policies.in_use.items()},
        "services": {name: service.url for name, service in services.services.items()},
        "senders": {name: [key.id for key in senders.keys.values() if key.sender == name] for name in senders.rules},
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
    console.print(f"policies  {', '.join(policy.name for policy in rulebook.policies.in_use.values()) or 'none'}", markup=False)
    for name, service in services.services.items():
        console.print(f"service   {name} at {service.url}", markup=False)
    console.print(f"senders   {', '.join(senders.rules) or 'none'}", markup=False)
    console.print(f"ledger    {printable(document['ledger'])}", markup=False)
    say((f"{folder}: all of it is valid", "green"))


def _rules(bindings: Bindings) -> list[dict[str, Any]]:
    return [
        {"name": rule.name, "topic": rule.topic, "type": rule.type, "does": rule.does, "when": rule.when.text if rule.when else None}
        for rule in bindings.rules
    ]
