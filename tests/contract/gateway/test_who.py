"""Who calls: tokens that hold and tokens that do not, the development login, a login with OpenID Connect."""

from __future__ import annotations

import base64
import hmac
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from gateway_server import ROOT, Gateway, gateway_with
from identity_provider import AUDIENCE, IdentityProvider
from joserfc import jwt
from joserfc.jwk import RSAKey

from sayso.errors import ConfigurationError
from sayso.gateway_settings import JwtSettings
from sayso.settings import Settings
from sayso_gateway.who.login import Login
from sayso_gateway.who.tokens import Tokens


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider().running() as running:
        yield running


@pytest.fixture(scope="module")
def gateway(provider: IdentityProvider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("config")
    shutil.copy(ROOT / "config" / "directory.yaml", folder)
    settings: dict[str, Any] = {
        "development_login": True,
        "jwt": {"issuer": provider.url, "jwks_url": f"{provider.url}/keys"},
        "oidc": {
            "discovery_url": f"{provider.url}/.well-known/openid-configuration",
            "client_id": "client-1",
            "client_secret": "s3cret",
        },
    }
    with gateway_with("webhooks: {}", folder, **settings) as running:
        yield running


def me(gateway: Gateway, token: str | None = None, **headers: str) -> httpx2.Response:
    return gateway.client.get("/me", headers={**({"authorization": f"Bearer {token}"} if token else {}), **headers})


def test_a_token_of_the_issuer_says_who_it_is(gateway: Gateway, provider: IdentityProvider) -> None:
    answer = me(gateway, provider.token(sub="bob"))
    assert (answer.status_code, answer.json()) == (200, {"id": "bob", "roles": ["approver", "operator", "requester"], "how": "token"})
    assert me(gateway, provider.token(sub="carol", roles=["auditor", "superuser"])).json()["roles"] == ["auditor"]
    assert me(gateway, provider.token(sub="mallory")).json()["roles"] == []


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def shared(secret: bytes, claims: dict[str, Any]) -> str:
    signed = f"{encoded({'alg': 'HS256', 'kid': 'one'})}.{encoded(claims)}"
    return f"{signed}.{base64.urlsafe_b64encode(hmac.digest(secret, signed.encode(), 'sha256')).decode().rstrip('=')}"


def test_a_token_that_does_not_hold_is_refused(gateway: Gateway, provider: IdentityProvider) -> None:
    now = int(time.time())
    other = RSAKey.generate_key(2048, parameters={"kid": "one"})
    claims = {"iss": provider.url, "aud": AUDIENCE, "sub": "bob", "exp": now + 300}
    public = provider.keys[0].as_pem(private=False)
    good = provider.token()
    head, body, signature = good.split(".")
    for name, token in {
        "expired": provider.token(exp=now - 31),
        "without an end": provider.token(exp=None),
        "not yet": provider.token(nbf=now + 300),
        "for somebody else": provider.token(aud="another"),
        "for nobody": provider.token(aud=None),
        "of another issuer": provider.token(iss="https://evil.example.com"),
        "of nobody": provider.token(sub=None),
        "of another key": jwt.encode({"alg": "RS256", "kid": "one"}, claims, other),
        "signed with the public key as a shared secret": shared(public, claims),
        "unsigned": f"{encoded({'alg': 'none'})}.{body}.",
        "changed": f"{head}.{encoded(claims | {'sub': 'carol'})}.{signature}",
        "cut": good[:-1],
        "two parts": f"{head}.{body}",
        "nothing": ".",
        "long": "a" * 20_000,
    }.items():
        answer = me(gateway, token)
        assert answer.status_code == 401, name
        assert answer.headers["www-authenticate"]
        assert signature not in answer.text


def test_a_key_that_is_new_is_looked_for_and_an_unknown_one_does_not_make_us_ask_each_time(
    gateway: Gateway, provider: IdentityProvider
) -> None:
    me(gateway, provider.token())
    before = provider.asked_for_keys
    for _ in range(5):
        assert me(gateway, provider.token(header={"kid": "unknown"})).status_code == 401
    assert provider.asked_for_keys <= before + 1
    settings = JwtSettings(issuer=provider.url, jwks_url=f"{provider.url}/keys")
    tokens = Tokens(settings)
    tokens.claims(provider.token())
    provider.keys.append(RSAKey.generate_key(2048, parameters={"kid": "two"}))
    tokens._keys._read_at -= 60
    assert tokens.claims(provider.token(key=1))["sub"] == "bob"


@pytest.mark.parametrize(
    "settings",
    [
        {"issuer": "i"},
        {"issuer": "i", "jwks_url": "http://keys.example.com/keys"},
        {"issuer": "i", "jwks_url": "https://keys.example.com/keys", "algorithms": ("HS256",)},
        {"issuer": "i", "jwks_url": "https://keys.example.com/keys", "algorithms": ("none",)},
        {"issuer": "i", "jwks_url": "https://keys.example.com/keys", "algorithms": ()},
    ],
)
def test_settings_that_would_believe_too_much_do_not_start(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Tokens(JwtSettings(**settings))


def test_the_development_login_knows_those_of_the_directory_and_says_what_it_is(gateway: Gateway) -> None:
    answer = gateway.client.get("/me", auth=("alice", ""))
    assert answer.json() == {"id": "alice", "roles": ["requester"], "how": "development"}
    assert gateway.client.get("/me", auth=("mallory", "")).status_code == 401
    nobody = gateway.client.get("/me")
    assert nobody.status_code == 401
    assert "development login" in nobody.headers["www-authenticate"]


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.1", "::", "gateway.example.com"])
def test_the_development_login_does_not_start_where_others_reach_it(address: str) -> None:
    settings = Settings.model_validate({"gateway": {"development_login": True, "address": address}, "config_dir": ROOT / "config"})
    with pytest.raises(ConfigurationError, match="anybody could be anyone"):
        Login(settings)


def test_without_the_development_login_a_name_alone_is_nobody(tmp_path: Path) -> None:
    shutil.copy(ROOT / "config" / "directory.yaml", tmp_path)
    with gateway_with("webhooks: {}", tmp_path) as gateway:
        assert gateway.client.get("/me", auth=("bob", "")).status_code == 401
        assert gateway.client.get("/login").status_code == 404


def browser(gateway: Gateway) -> httpx2.Client:
    return httpx2.Client(base_url=gateway.url, timeout=20, trust_env=False)


def log_in(person: httpx2.Client) -> None:
    answer = person.get("/login", follow_redirects=True)
    assert answer.status_code == 200, answer.text


def test_a_login_with_openid_connect_is_a_session_that_only_our_own_pages_can_use(
    gateway: Gateway, provider: IdentityProvider
) -> None:
    provider.person = {"sub": "carol"}
    with browser(gateway) as person:
        log_in(person)
        answer = person.get("/me")
        assert answer.json() == {"id": "carol", "roles": ["approver", "auditor", "requester"], "how": "session"}
        for headers in ({}, {"origin": "https://evil.example.com"}, {"origin": "null"}):
            assert person.post("/decisions:batch", json={"decisions": []}, headers=headers).status_code == 403
        assert person.post("/decisions:batch", json={"decisions": []}, headers={"origin": gateway.url}).status_code == 422
        (cookie,) = [cookie for cookie in person.cookies.jar if cookie.name == "sayso-session"]
        assert cookie.has_nonstandard_attr("httponly")
        assert person.post("/logout", headers={"origin": gateway.url}).status_code == 200
        assert person.get("/me").status_code == 401


def test_a_login_that_was_not_begun_here_or_was_tampered_with_is_no_login(gateway: Gateway, provider: IdentityProvider) -> None:
    with browser(gateway) as person:
        assert person.get("/login/callback?code=code-1&state=made-up").status_code == 401
        begun = person.get("/login")
        assert begun.headers["location"].startswith(f"{provider.url}/authorize?")
        assert f"redirect_uri=http%3A%2F%2F{gateway.url.removeprefix('http://').replace(':', '%3A')}" in begun.headers["location"]
        provider.nonce = "another"
        try:
            answer = person.get(person.get(begun.headers["location"]).headers["location"])
        finally:
            provider.nonce = None
        assert answer.status_code == 401
        assert person.get("/me").status_code == 401
        person.cookies.set("sayso-session", base64.b64encode(b'{"claims": {"sub": "bob"}}').decode() + ".x.y")
        assert person.get("/me").status_code == 401


def test_a_token_is_in_no_log(gateway: Gateway, provider: IdentityProvider, capfd: pytest.CaptureFixture[str]) -> None:
    token = provider.token()
    for path in ("/me", "/nothing", "/tasks", "/webhooks/x"):
        gateway.client.get(path, headers={"authorization": f"Bearer {token}"})
        gateway.client.get(path, headers={"authorization": f"Bearer {token[:-2]}"})
    told = "".join(capfd.readouterr())
    assert token.split(".")[2][:20] not in told
