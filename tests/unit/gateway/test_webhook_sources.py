"""webhooks.yaml: what is wrong in it stops the start, with its line and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sayso.correlation.bindings import load_bindings
from sayso.errors import ConfigurationError
from sayso.settings import Settings
from sayso_gateway.bridge.sources import Source, load_sources

ROOT = Path(__file__).parents[3]
SHOP = """\
webhooks:
  shop:
    scheme: hmac
    secrets:
      - env: SHOP_SECRET
    topic: purchases
    events:
      - type: com.acme.purchase.requested.v1
        key: body.order
"""


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_SECRET", "s3cret")


def loaded(folder: Path, text: str) -> dict[str, Source]:
    (folder / "webhooks.yaml").write_text(text, encoding="utf-8")
    settings = Settings(config_dir=folder, state_dir=folder / "state")
    return load_sources(settings, load_bindings(ROOT / "config" / "bindings.yaml"))


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        loaded(folder, text)
    return str(caught.value).removeprefix(f"{folder}/")


def test_a_source_is_nine_lines(tmp_path: Path) -> None:
    assert loaded(tmp_path, SHOP)["shop"].rules[0].topic == "purchases"
    assert SHOP.count("\n") == 9


def test_without_the_file_there_are_no_sources(tmp_path: Path) -> None:
    settings = Settings(config_dir=tmp_path, state_dir=tmp_path)
    assert load_sources(settings, load_bindings(ROOT / "config" / "bindings.yaml")) == {}


@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_an_unset_or_empty_secret_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("SHOP_SECRET")
    if value is not None:
        monkeypatch.setenv("SHOP_SECRET", value)
    words = complaint(tmp_path, SHOP)
    assert words.startswith("webhooks.yaml:5: the secret is empty: the environment variable SHOP_SECRET")
    assert "export SHOP_SECRET=" in words


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff"])
def test_a_secret_file_that_is_missing_or_empty_does_not_start(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "shop.secret").write_bytes(content)
    words = complaint(tmp_path, SHOP.replace("env: SHOP_SECRET", "file: shop.secret"))
    assert words.startswith("webhooks.yaml:5: the secret ")
    assert str(tmp_path / "shop.secret") in words


def test_a_secret_of_this_machine_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    text = SHOP.replace("env: SHOP_SECRET", "state_file: webhooks/shop.secret").replace("hmac", "standard-webhooks")
    for _ in range(2):
        loaded(tmp_path, text)
    path = tmp_path / "state" / "webhooks" / "shop.secret"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith("whsec_")
    assert [each.name for each in path.parent.iterdir()] == ["shop.secret"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("scheme: hmac", "scheme: hmca", r"webhooks.yaml:3: .*scheme.*'hmac'"),
        ("- env: SHOP_SECRET", "- {env: SHOP_SECRET, file: a}", r"webhooks.yaml:5: .*one of env, file, state_file"),
        ("topic: purchases", "topic: purchase", r'webhooks.yaml:\d: no binding reads the topic "purchase"; did you mean "purchases"'),
        (
            "requested.v1",
            "requsted.v1",
            r'webhooks.yaml:8: no binding takes "com.acme.purchase.requsted.v1" on purchases; did you mean',
        ),
        ("key: body.order", "key: event.order", r"webhooks.yaml:9: `event.order`: .*`body`, `headers`"),
        ("key: body.order", "key: body.order == 1", r"webhooks.yaml:9: .*is not a key"),
        ("key: body.order", "key: body.order\n        when: body.a + 'b'", r"webhooks.yaml:10: .*is not a condition"),
        ("key: body.order", "kye: body.order", r'webhooks.yaml:9: unknown field "kye"; did you mean "key"'),
        ("secrets:\n      - env: SHOP_SECRET", "secrets: []", r"webhooks.yaml:4: .*at least 1"),
        ("scheme: hmac", "scheme: basic", r"webhooks.yaml:5: .*USER:PASSWORD"),
        ("scheme: hmac", "scheme: standard-webhooks", r"webhooks.yaml:5: .*whsec_"),
        (
            "key: body.order",
            "key: body.order\n      - {type: com.acme.purchase.withdrawn.v1, key: body.order}",
            r"webhooks.yaml:8: it takes everything",
        ),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert re.match(words, complaint(tmp_path, SHOP.replace(old, new)))


def test_the_shipped_file_is_right(tmp_path: Path) -> None:
    sources = load_sources(Settings(config_dir=ROOT / "config", state_dir=tmp_path), load_bindings(ROOT / "config" / "bindings.yaml"))
    assert {rule.type for rule in sources["partners"].rules} == {"com.acme.payment.captured.v1", "com.acme.payment.failed.v1"}
