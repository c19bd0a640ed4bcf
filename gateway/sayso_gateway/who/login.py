"""Who sent this request: a token, a session, or (in development) a name.

In: a request. Out: a `Person`, or 401. Three ways: `Authorization: Bearer` (tokens.py); the cookie of an OpenID Connect login
(sessions.py); `Authorization: Basic NAME:` of the development login, which believes any name of the directory, and only on loopback.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Protocol

import structlog
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from sayso.contracts.payload import person_key
from sayso.directory import LiveDirectory
from sayso.errors import ConfigurationError
from sayso.settings import Settings
from sayso_gateway.who.person import Person, roles_of
from sayso_gateway.who.tokens import Tokens, unauthenticated

log = structlog.get_logger()
DEVELOPMENT = 'Basic realm="Sayso development login: any name of directory.yaml, no password, this machine only"'
PERSON_CHARACTERS_MAX = 320


class HasSession(Protocol):
    """Cookies of logins."""

    def claims(self, request: Request) -> Mapping[str, Any] | None:
        """Those of the session's person, if there is a session."""


class Login:
    """Finds out who it is."""

    def __init__(self, settings: Settings, sessions: HasSession | None = None) -> None:
        gateway = settings.gateway
        self._jwt = gateway.jwt
        self._tokens = Tokens(gateway.jwt) if gateway.jwt.issuer is not None else None
        self._sessions = sessions
        self._development = gateway.development_login
        self._directory = LiveDirectory(settings.config_dir / "directory.yaml")
        if self._development:
            refuse_beyond_loopback(gateway.address)
            log.warning("DEVELOPMENT LOGIN: anyone on this machine may be anyone", how="curl -u NAME:", address=gateway.address)

    async def person(self, request: Request) -> Person:
        """The person, or 401."""
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            if self._tokens is None:
                raise self._unknown("tokens are not believed here (setting gateway.jwt.issuer)")
            return self._of_claims(await run_in_threadpool(self._tokens.claims, given.strip()), "token")
        if kind.lower() == "basic" and self._development:
            return self._of_name(_name_in(given), request)
        claims = self._sessions.claims(request) if self._sessions is not None else None
        if claims is not None:
            return self._of_claims(claims, "session")
        raise self._unknown("say who you are")

    def _of_claims(self, claims: Mapping[str, Any], how: str) -> Person:
        name = claims.get(self._jwt.person_claim)
        if not isinstance(name, str) or not name.strip() or len(name) > PERSON_CHARACTERS_MAX:
            raise unauthenticated(f"the token names no person ({self._jwt.person_claim})")
        claimed = claims.get(self._jwt.roles_claim)
        listed = claimed if isinstance(claimed, list) else [claimed] if isinstance(claimed, str) else None
        return Person(name.strip(), roles_of(self._directory.current(), name, listed), how)

    def _of_name(self, name: str, request: Request) -> Person:
        if request.client is None or not ip_address(request.client.host).is_loopback:
            raise unauthenticated("the development login is for this machine only")
        directory = self._directory.current()
        known = next((user for user in directory.users if person_key(user) == person_key(name)), None)
        if known is None:
            raise self._unknown(f"directory.yaml knows nobody of that name; it knows {', '.join(directory.users)}")
        return Person(known, roles_of(directory, known, None), "development")

    def _unknown(self, detail: str) -> Exception:
        return unauthenticated(detail, DEVELOPMENT if self._development else "Bearer")


def refuse_beyond_loopback(address: str) -> None:
    """The development login on an address that others reach would let anybody decide as anyone."""
    try:
        loopback = ip_address(address).is_loopback
    except ValueError:
        loopback = address == "localhost"
    if not loopback:
        raise ConfigurationError(
            f"gateway.development_login is on, and gateway.address {address} is not a loopback address: anybody could be anyone; "
            "set gateway.jwt or gateway.oidc, and turn it off"
        )


def _name_in(given: str) -> str:
    try:
        return base64.b64decode(given, validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        raise unauthenticated("the credentials are not base64", DEVELOPMENT) from None
