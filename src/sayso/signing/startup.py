"""What has to be right about signatures before anything is let in: `senders.yaml`, its secrets, and the words shared with bindings."""

from __future__ import annotations

from pathlib import Path

from sayso.config_file import ConfigFile, Location, did_you_mean
from sayso.correlation.bindings import Bindings
from sayso.settings import Settings
from sayso.signing.local_keys import make_local_keys
from sayso.signing.senders import FILE_NAME, Senders, SendersFile, load_senders, missing, read_rules


def check_senders(bindings: Bindings, settings: Settings, *, may_create: bool) -> Senders:
    """The senders; `ConfigurationError` for what is wrong. The keys of local senders are made if they `may_create`."""
    path = settings.config_dir / FILE_NAME
    if not path.exists():
        if bindings.needs_signatures:
            raise missing(path)
        return Senders({}, {})
    _check_words(path, bindings)
    if may_create:
        make_local_keys(path, settings.state_dir)
    return load_senders(path, settings.state_dir, local_may_be_missing=not may_create)


def _check_words(path: Path, bindings: Bindings) -> None:
    """A type or topic that no binding has would be a right to nothing, and most likely a slip."""
    written, file = read_rules(path)
    types, topics = {rule.type for rule in bindings.rules}, set(bindings.topics)
    for name, sender in written.senders.items():
        _refuse_unknown(file, ("senders", name, "types"), sender.types, types)
        _refuse_unknown(file, ("senders", name, "topics"), sender.topics, topics)


def _refuse_unknown(file: ConfigFile, at: Location, named: tuple[str, ...], known: set[str]) -> None:
    for index, word in enumerate(named):
        if word not in known:
            raise file.error((*at, index), f'no binding has "{word}"{did_you_mean(word, known)}')


def rules_of(settings: Settings) -> SendersFile:
    """The file without its secrets; empty when there is none."""
    path = settings.config_dir / FILE_NAME
    return read_rules(path)[0] if path.exists() else SendersFile()
