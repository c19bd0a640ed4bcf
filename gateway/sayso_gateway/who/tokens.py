"""JSON Web Tokens: `Authorization: Bearer`, signed by the issuer that the settings name.

In: a token. Out: its claims; or 401. Checked: the signature by a key of the issuer's JWKS, an algorithm of the list, issuer, audience,
expiry and not-before. The JWKS is read from one fixed address, never from what a token says, and never through a redirect.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from sayso.errors import ConfigurationError, TransientError
from sayso.gateway_settings import JwtSettings
from sayso_gateway.problems import ProblemError

TOKEN_CHARACTERS_MAX = 16_384
JWKS_BYTES_MAX = 256 * 1024
READ_AGAIN_SECONDS = 30.0
"""An unknown key makes us look again, but not more often than this."""
TIMEOUT_SECONDS = 5.0
LOOPBACK = ("127.0.0.1", "localhost", "::1")
ASYMMETRIC = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"})
"""With a shared secret whoever can check a token could make one."""


class Keys:
    """The issuer's keys, as they were last seen."""

    def __init__(self, settings: JwtSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._known: KeySet | None = None
        self._read_at = float("-inf")

    def current(self, *, unknown: bool = False) -> KeySet:
        """The keys; looked for again when one is `unknown`, at most twice a minute."""
        with self._lock:
            if self._known is None or (unknown and self._clock() - self._read_at > READ_AGAIN_SECONDS):
                self._known = KeySet.import_key_set(self._document())
                self._read_at = self._clock()
            return self._known

    def _document(self) -> Any:
        if self._settings.jwks_file is not None:
            import json  # noqa: PLC0415 - only here

            return json.loads(self._settings.jwks_file.read_bytes())
        assert self._settings.jwks_url is not None
        try:
            answer = httpx2.get(self._settings.jwks_url, timeout=TIMEOUT_SECONDS, follow_redirects=False)
            answer.raise_for_status()
            if len(answer.content) > JWKS_BYTES_MAX:
                raise TransientError(f"the keys at {self._settings.jwks_url} are too long")
            return answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise TransientError(f"the keys at {self._settings.jwks_url} cannot be read: {type(error).__name__}") from error


class Tokens:
    """Checks tokens of one issuer."""

    def __init__(self, settings: JwtSettings, now: Callable[[], int] = lambda: int(time.time())) -> None:
        if settings.jwks_url is None and settings.jwks_file is None:
            raise ConfigurationError("gateway.jwt.issuer is set: say where its keys are, with gateway.jwt.jwks_url or jwks_file")
        wrong = sorted(set(settings.algorithms) - ASYMMETRIC)
        if wrong or not settings.algorithms:
            raise ConfigurationError(f"gateway.jwt.algorithms: {', '.join(wrong) or 'none'}; valid: {', '.join(sorted(ASYMMETRIC))}")
        if settings.jwks_url is not None:
            refuse_plain_text(settings.jwks_url)
        self._settings = settings
        self._keys = Keys(settings)
        self._now = now

    def claims(self, token: str) -> dict[str, Any]:
        """The claims of a token that holds; otherwise 401."""
        if len(token) > TOKEN_CHARACTERS_MAX:
            raise unauthenticated("the token is too long")
        try:
            decoded = self._decoded(token)
            registry = jwt.JWTClaimsRegistry(
                now=self._now(),
                leeway=int(self._settings.leeway.total_seconds()),
                iss={"essential": True, "value": self._settings.issuer or ""},
                aud={"essential": True, "value": self._settings.audience},
                exp={"essential": True},
            )
            registry.validate(decoded.claims)
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise unauthenticated(f"the token does not hold ({type(error).__name__})") from None
        return dict(decoded.claims)

    def _decoded(self, token: str) -> jwt.Token:
        algorithms = list(self._settings.algorithms)
        try:
            return jwt.decode(token, self._keys.current(), algorithms=algorithms)
        except (JoseError, ValueError):
            return jwt.decode(token, self._keys.current(unknown=True), algorithms=algorithms)


def refuse_plain_text(url: str) -> None:
    """Keys and secrets travel over TLS, but for a provider on this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise ConfigurationError(f"{url}: must begin with https://, or be on this machine")


def unauthenticated(detail: str, challenge: str = "Bearer") -> ProblemError:
    """401, with how to do better."""
    return ProblemError(401, detail, {"WWW-Authenticate": challenge})
