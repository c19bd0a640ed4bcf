"""Extensions: workflows, event types and policies of your own, without a change to Sayso's code (docs/own-workflow.md).

In: `extensions.yaml` in the configuration folder, which names Python modules; each has an attribute `EXTENSION`. Out: their rows in
the tables of `contracts/catalog.py` and `policy.py`; the worker adds what it alone needs (`sayso_worker/own.py`). Invariant: what
ships is never replaced; a module that is missing, or says too little, stops the start with file and line. Loading twice changes
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from types import ModuleType

from pydantic import Field

from sayso.config_file import ConfigFile, ConfigModel, did_you_mean, load_config
from sayso.contracts.catalog import ALIASES, EVENT_TYPES, WORKFLOWS, EventType, WorkflowContract
from sayso.errors import ConfigurationError
from sayso.policy import POLICIES, WorkflowPolicy

FILE_NAME = "extensions.yaml"
ATTRIBUTE = "EXTENSION"
OURS = "sayso."
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Extension:
    """What one module adds. `worker` names the module that has the code; only the worker imports it."""

    workflows: Mapping[str, WorkflowContract]
    policies: Mapping[str, WorkflowPolicy]
    """One for each workflow."""
    worker: str
    event_types: Mapping[str, EventType] = field(default_factory=dict)


@dataclass(frozen=True)
class Loaded:
    """An extension that has been added, and how to say what is wrong with it."""

    name: str
    extension: Extension
    error: Callable[[str], ConfigurationError]


class _File(ConfigModel):
    """`extensions.yaml`."""

    extensions: list[str] = Field(description="Python modules, each with an attribute EXTENSION.")


def load_extensions(config_dir: Path) -> list[Loaded]:
    """Add what the folder's `extensions.yaml` names, if there is one; `ConfigurationError` with file, line and what to do."""
    path = config_dir / FILE_NAME
    if not path.exists():
        return []
    written, file = load_config(path, _File)
    return [_load(name, partial(_error, file, index)) for index, name in enumerate(written.extensions)]


def _error(file: ConfigFile, index: int, message: str) -> ConfigurationError:
    return file.error(("extensions", index), message)


def import_named(name: str, error: Callable[[str], ConfigurationError]) -> ModuleType:
    """Import a module that somebody named; what goes wrong is said so that they can mend it."""
    try:
        return import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name is not None and (name == problem.name or name.startswith(f"{problem.name}.")):
            raise error(f'no module "{name}": install it where Sayso runs, or put its folder on PYTHONPATH') from problem
        raise error(f'"{name}" cannot be imported: {problem}') from problem
    except ConfigurationError:
        raise
    except Exception as problem:
        raise error(f'"{name}" cannot be imported: {type(problem).__name__}: {problem}') from problem


def _load(name: str, error: Callable[[str], ConfigurationError]) -> Loaded:
    extension = getattr(import_named(name, error), ATTRIBUTE, None)
    if not isinstance(extension, Extension):
        raise error(f'"{name}" has no {ATTRIBUTE} = Extension(…); see docs/own-workflow.md')
    for complaint in _complaints(extension):
        raise error(f'"{name}": {complaint}')
    EVENT_TYPES.add(extension.event_types)
    WORKFLOWS.add(extension.workflows)
    POLICIES.add(extension.policies)
    return Loaded(name, extension, error)


def _complaints(extension: Extension) -> Iterator[str]:
    """What is wrong with it; looked at before any of it is added."""
    for workflow in [*WORKFLOWS.taken(extension.workflows), *(name for name in extension.workflows if name in ALIASES)]:
        yield f'there is a workflow "{workflow}" already; choose another name'
    for event_type in EVENT_TYPES.taken(extension.event_types):
        yield f'there is an event type "{event_type}" already; choose another name'
    for event_type in extension.event_types:
        if event_type.startswith(OURS):
            yield f'the event type "{event_type}" begins with "{OURS}", as those that ship do; choose another name'
    for workflow in extension.policies:
        if workflow not in extension.workflows:
            yield f'it has a policy for "{workflow}", which is none of its workflows{did_you_mean(workflow, extension.workflows)}'
    for workflow, contract in extension.workflows.items():
        yield from _complaints_of(workflow, contract, extension)


def _complaints_of(workflow: str, contract: WorkflowContract, extension: Extension) -> Iterator[str]:
    if not NAME.fullmatch(workflow):
        yield f'"{workflow}" is no name of a workflow: a letter, then letters, digits and _'
    if workflow not in extension.policies:
        yield f'its workflow "{workflow}" has no policy'
    elif POLICIES.taken({workflow: extension.policies[workflow]}):
        yield f'there is a policy for "{workflow}" already; choose another name'
    fields = contract.request.model_fields
    if contract.key_field not in fields:
        yield f'the request of "{workflow}" has no field "{contract.key_field}"{did_you_mean(contract.key_field, fields)}'
