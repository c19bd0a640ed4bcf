"""Login with OpenID Connect: `/login`, `/login/callback`, `/logout`; then a signed cookie says who it is.

In: the settings of the identity provider. Out: routes, and the claims of a session. Authlib does the protocol: authorization code with
PKCE, state and nonce, the ID token checked against the provider's keys. Invariant: addresses come from the settings and the provider's
own document, never from a request; what changes something must come from our own origin, because a browser sends the cookie by itself.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.starlette_client import OAuth
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from joserfc.errors import JoseError
from starlette.middleware.sessions import SessionMiddleware

from sayso.errors import ConfigurationError, TransientError
from sayso.secret_reference import write_secret_once
from sayso.settings import Settings
from sayso_gateway.problems import ProblemError
from sayso_gateway.who.tokens import refuse_plain_text, unauthenticated

log = structlog.get_logger()
COOKIE = "sayso-session"
SECRET_FILE = Path("gateway", "session.secret")
SECRET_BYTES = 32
TIMEOUT_SECONDS = 10.0
SAFE = ("GET", "HEAD", "OPTIONS")


class Sessions:
    """The logins of one identity provider."""

    def __init__(self, settings: Settings, origin: str) -> None:
        oidc = settings.gateway.oidc
        if not oidc.client_id or oidc.client_secret is None or not oidc.client_secret.get_secret_value():
            raise ConfigurationError("gateway.oidc.discovery_url is set: set gateway.oidc.client_id and client_secret too")
        refuse_plain_text(oidc.discovery_url or "")
        self._origin = origin
        self._kept = {settings.gateway.jwt.person_claim, settings.gateway.jwt.roles_claim}
        self._seconds = int(oidc.session.total_seconds())
        self._secret = _secret(settings.state_dir / SECRET_FILE)
        self._provider = OAuth().register(
            "provider",
            server_metadata_url=oidc.discovery_url,
            client_id=oidc.client_id,
            client_secret=oidc.client_secret.get_secret_value(),
            client_kwargs={
                "scope": "openid email profile",
                "code_challenge_method": "S256",
                "timeout": TIMEOUT_SECONDS,
                "follow_redirects": False,
            },
        )

    def claims(self, request: Request) -> Mapping[str, Any] | None:
        """Those of the session's person; 403 for a change that another origin asks for."""
        found: Mapping[str, Any] | None = request.session.get("claims")
        if found is not None and request.method not in SAFE and request.headers.get("origin") != self._origin:
            raise ProblemError(403, f"with a session, what changes something is sent from {self._origin} (header Origin)")
        return found

    def add_to(self, app: FastAPI) -> None:
        """The cookie and the routes."""
        https = self._origin.startswith("https:")
        app.add_middleware(
            SessionMiddleware,
            secret_key=self._secret,
            session_cookie=f"__Host-{COOKIE}" if https else COOKIE,
            max_age=self._seconds,
            same_site="lax",
            https_only=https,
        )
        app.include_router(self._routes())

    def _routes(self) -> APIRouter:
        router = APIRouter(tags=["login"], include_in_schema=False)

        @router.get("/login")
        async def login(request: Request) -> Response:
            """Go to the identity provider."""
            try:
                answer: Response = await self._provider.authorize_redirect(request, f"{self._origin}/login/callback")
            except Exception as error:
                raise TransientError(f"the identity provider does not answer: {type(error).__name__}") from error
            return answer

        @router.get("/login/callback")
        async def callback(request: Request) -> Response:
            """Come back from there."""
            try:
                token = await self._provider.authorize_access_token(request)
            except (OAuthError, JoseError, ValueError, KeyError) as error:
                log.info("login refused", reason=type(error).__name__)
                raise unauthenticated("the login does not hold; begin again at /login") from None
            claims = token.get("userinfo") or {}
            request.session.clear()  # nothing of before the login stays
            request.session["claims"] = {name: claims[name] for name in self._kept if name in claims}
            return RedirectResponse(f"{self._origin}/me", 303)

        @router.post("/logout")
        async def logout(request: Request) -> Response:
            """Forget who it is."""
            self.claims(request)
            request.session.clear()
            return JSONResponse({"status": "logged out"})

        return router


def _secret(path: Path) -> str:
    """The key of the cookies, made once. Whoever changes it ends all sessions."""
    if not path.exists():
        write_secret_once(path, base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode())
    return path.read_text(encoding="ascii").strip()
