"""Configuration files: YAML in, validated frozen models out, and errors that name file, line and the nearest valid word.

Every file under `config/` is read through `load_config`. YAML is parsed once into nodes, so that each error knows its line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from sayso.errors import ConfigurationError

Location = tuple[str | int, ...]


class ConfigModel(BaseModel):
    """Base of our own configuration: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Model = TypeVar("Model", bound=BaseModel)


class ConfigFile:
    """One parsed YAML file that knows the line of each of its values."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"{path}: cannot be read ({error.strerror}); is SAYSO_CONFIG_DIR right?") from error
        except UnicodeDecodeError as error:
            raise ConfigurationError(f"{path}: not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}") from error
        try:
            self._root = yaml.compose(text, Loader=yaml.SafeLoader)
            self._refuse_double_names(self._root)
            self.document: Any = yaml.safe_load(text)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark else 1
            raise ConfigurationError(f"{path}:{line}: not valid YAML: {getattr(error, 'problem', error)}") from error
        except ValueError as error:  # a date that does not exist, for example
            raise ConfigurationError(f"{path}: not valid YAML: {error}") from error

    def line(self, location: Location) -> int:
        """The line (from 1) of the deepest node on the way to `location` that exists."""
        node = self._root
        line = 1
        for part in location:
            found = self._child(node, part)
            if found is None:
                break
            line, node = found
        return line

    @staticmethod
    def _child(node: yaml.Node | None, part: str | int) -> tuple[int, yaml.Node] | None:
        if isinstance(node, yaml.MappingNode):
            for name, value in node.value:
                if name.value == str(part):
                    return name.start_mark.line + 1, value
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            return node.value[part].start_mark.line + 1, node.value[part]
        return None

    def _refuse_double_names(self, node: yaml.Node | None) -> None:
        """YAML readers keep the last of two equal names without a word."""
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._refuse_double_names(item)
        if isinstance(node, yaml.MappingNode):
            seen: dict[str, int] = {}
            for name, value in node.value:
                line = name.start_mark.line + 1
                if name.value in seen:
                    raise ConfigurationError(f'{self.path}:{line}: "{name.value}" stands at line {seen[name.value]} already')
                seen[name.value] = line
                self._refuse_double_names(value)

    def error(self, location: Location, message: str) -> ConfigurationError:
        """A `ConfigurationError` that starts with file and line."""
        return ConfigurationError(f"{self.path}:{self.line(location)}: {message}")


def load_config(path: Path, model: type[Model]) -> tuple[Model, ConfigFile]:
    """Read and validate one file; `ConfigurationError` names file, line and field."""
    file = ConfigFile(path)
    try:
        return model.model_validate(file.document if file.document is not None else {}), file
    except ValidationError as error:
        complaints = error.errors(include_url=False)
        # A misspelt field shows twice, as unknown and as missing: the first says what to change.
        complaint = next((found for found in complaints if found["type"] == "extra_forbidden"), complaints[0])
        location = complaint["loc"]
        raise file.error(location, _explain(complaint["msg"], location, model)) from error


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """`; did you mean "payments"?` when a valid word is near, otherwise the list of the valid words."""
    words = sorted(valid)
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if near:
        return f'; did you mean "{near[0]}"?'
    return f"; valid: {', '.join(words)}" if words else ""


def _explain(message: str, location: Location, model: type[BaseModel]) -> str:
    name = ".".join(str(part) for part in location)
    if message == "Extra inputs are not permitted":
        return f'unknown field "{location[-1]}"{did_you_mean(str(location[-1]), _field_names(model))}'
    return f"{name}: {message.removeprefix('Value error, ')}" if name else message.removeprefix("Value error, ")


def _field_names(model: type[BaseModel]) -> set[str]:
    """Names of the fields of a model and of the models inside it."""
    names: set[str] = set()
    for name, field in model.model_fields.items():
        names.add(field.alias or name)
        inner = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for kind in inner:
            if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not model:
                names |= _field_names(kind)
    return names
