"""Configuration files: every error says file, line, and the nearest valid word."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field

from sayso.config_file import ConfigFile, ConfigModel, did_you_mean, load_config
from sayso.errors import ConfigurationError


class Engine(ConfigModel):
    """An inner model."""

    power: int = Field(ge=1)


class Car(ConfigModel):
    """The file."""

    name: str
    engine: Engine
    wheels: list[Engine] = []


GOOD = "name: mini\nengine:\n  power: 40\n"


def complaint(path: Path, content: str | bytes) -> str:
    file = path / "car.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError) as caught:
        load_config(file, Car)
    return str(caught.value).removeprefix(f"{path}/")


def test_a_good_file_is_a_frozen_model_and_knows_its_lines(tmp_path: Path) -> None:
    (tmp_path / "car.yaml").write_text(GOOD + "wheels:\n  - power: 1\n  - power: 2\n", encoding="utf-8")
    car, file = load_config(tmp_path / "car.yaml", Car)
    assert (car.name, car.engine.power, [wheel.power for wheel in car.wheels]) == ("mini", 40, [1, 2])
    assert file.line(("engine",)) == 2
    assert file.line(("engine", "power")) == 3
    assert file.line(("wheels", 1, "power")) == 6
    assert file.line(("wheels", 7)) == 4
    assert file.line(()) == 1
    assert str(file.error(("engine",), "words")) == f"{tmp_path}/car.yaml:2: words"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOOD.replace("40", "fast"), "car.yaml:3: engine.power: Input should be a valid integer"),
        (GOOD.replace("40", "0"), "car.yaml:3: engine.power: Input should be greater than or equal to 1"),
        (GOOD.replace("power", "powr"), 'car.yaml:3: unknown field "powr"; did you mean "power"?'),
        (GOOD + "colour: red\n", 'car.yaml:4: unknown field "colour"; valid: engine, name, power, wheels'),
        (GOOD + "wheels:\n  - power: 1\n  - 5\n", "car.yaml:6: wheels.1: Input should be a valid dictionary"),
        ("engine:\n  power: 1\n", "car.yaml:1: name: Field required"),
        ("", "car.yaml:1: name: Field required"),
        ("text", "car.yaml:1: Input should be a valid dictionary"),
        ("a: [1,", "car.yaml:1: not valid YAML: "),
        ("a: b: c", "car.yaml:1: not valid YAML: mapping values are not allowed here"),
        ("\tname: mini", "car.yaml:1: not valid YAML: found character '\\t' that cannot start any token"),
        ("a: 1\n---\nb: 2\n", "car.yaml:2: not valid YAML: "),
        ("day: 2020-13-45\n", "car.yaml: not valid YAML: month must be in 1..12"),
        ("a: *nowhere\n", "car.yaml:1: not valid YAML: found undefined alias"),
        ("a: !!python/object:os.system {}\n", "car.yaml:1: not valid YAML: could not determine a constructor"),
        (GOOD + "name: other\n", 'car.yaml:4: "name" stands at line 1 already'),
        (GOOD + "  power: 50\n", 'car.yaml:4: "power" stands at line 3 already'),
        (b"name: \xff\n", "car.yaml: not UTF-8: byte 6 is 0xff"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, content: str | bytes, words: str) -> None:
    assert complaint(tmp_path, content).startswith(words)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml: cannot be read \(No such file or directory\)"):
        ConfigFile(tmp_path / "none.yaml")
    with pytest.raises(ConfigurationError, match=r"cannot be read \(Is a directory\)"):
        ConfigFile(tmp_path)


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("paymets", '; did you mean "payments"?'),
        ("payments", '; did you mean "payments"?'),
        ("xyz", "; valid: orders, payments"),
    ],
)
def test_the_nearest_valid_word(word: str, words: str) -> None:
    assert did_you_mean(word, {"payments", "orders"}) == words


def test_without_valid_words_nothing_is_suggested() -> None:
    assert did_you_mean("x", []) == ""
