"""`config/services.yaml`: what is shipped loads, what is wrong names its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sayso.errors import ConfigurationError
from sayso.services import load_services, resource_path

PROJECT = Path(__file__).resolve().parents[2]


def test_the_shipped_file_loads_and_its_command_exists() -> None:
    partners = load_services(PROJECT / "config/services.yaml").service("partners")
    assert partners.url == "http://127.0.0.1:8090"
    assert partners.local_command[0] == "python"
    assert (PROJECT / partners.local_command[1]).is_file()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "services:\n  partners:\n    url: http://a\n    timeout: 1\n",
            ':4: unknown field "timeout"; did you mean "timeout_seconds"?',
        ),
        ("services:\n  partners:\n    url: 127.0.0.1:8090\n", ":3: services.partners.url: "),
        ("services:\n  partners:\n    url: http://a\n    timeout_seconds: 0\n", ":4: services.partners.timeout_seconds: "),
        ("services: {}\n", ":1: services: "),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "services.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_services(path)
    assert f"{path}{says}" in str(caught.value)


def test_an_unknown_service_is_refused_with_the_nearest_name() -> None:
    services = load_services(PROJECT / "config/services.yaml")
    with pytest.raises(ConfigurationError, match='no service "partner"; did you mean "partners"'):
        services.service("partner")


def test_a_path_is_made_of_any_text() -> None:
    assert resource_path("orders", "a/b c", "cancel") == "/orders/a%2Fb%20c/cancel"
    assert resource_path("orders", "..", "cancel") == "/orders/%2E%2E/cancel"
