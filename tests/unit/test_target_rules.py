"""Which targets a monitor may look at."""

from __future__ import annotations

import pytest

from sayso.contracts.targets import why_not_allowed

LOCAL = ("http://127.0.0.1", "http://localhost")


@pytest.mark.parametrize(
    ("target", "prefixes"),
    [
        ("http://127.0.0.1:8000/health", LOCAL),
        ("http://LOCALHOST/x?y=1", LOCAL),
        ("https://status.example:443/a", ("https://status.example:443",)),
        ("https://status.example/a", ("https://status.example:443",)),
        ("http://a.example/health/b", ("http://a.example/health",)),
        ("http://[::1]:80/", ("http://[::1]",)),
    ],
)
def test_what_is_below_a_prefix_is_allowed(target: str, prefixes: tuple[str, ...]) -> None:
    assert why_not_allowed(target, prefixes) is None


@pytest.mark.parametrize(
    ("target", "prefixes"),
    [
        ("http://127.0.0.1.evil.example/", LOCAL),
        ("http://127.0.0.1@evil.example/", LOCAL),
        ("http://127.0.0.1:80\\@evil.example/", LOCAL),
        ("http://evil.example/#http://127.0.0.1", LOCAL),
        ("https://127.0.0.1/", LOCAL),
        ("http://2130706433/", LOCAL),
        ("http://169.254.169.254/latest/meta-data", LOCAL),
        ("file:///etc/passwd", LOCAL),
        ("http://127.0.0.1/\nHost: x", LOCAL),
        ("http://127.0.0.1:99999/", LOCAL),
        ("//127.0.0.1/", LOCAL),
        ("", LOCAL),
        ("http://a.example:81/", ("http://a.example:80",)),
        ("http://a.example/healthy", ("http://a.example/health",)),
        ("http://a.example/health/../admin", ("http://a.example/health",)),
        ("http://a.example/health/%2e%2e/admin", ("http://a.example/health",)),
        ("http://a.example/", ()),
    ],
)
def test_everything_else_is_not(target: str, prefixes: tuple[str, ...]) -> None:
    assert why_not_allowed(target, prefixes)
