"""An identity provider: OpenID Connect over real HTTP, with keys of its own.

In: a person. Out: tokens that it signs, and the login of a browser that trusts it. Only for tests: it asks nobody for a password.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

AUDIENCE = "sayso"


class IdentityProvider:
    """It listens while the block of `running` lasts."""

    def __init__(self) -> None:
        self.url = ""
        self.keys = [RSAKey.generate_key(2048, parameters={"kid": "one"})]
        self.asked_for_keys = 0
        self.person: dict[str, Any] = {"sub": "bob"}
        self.nonce: str | None = None
        self.codes: dict[str, str | None] = {}

    def token(self, key: int = 0, *, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token that it signs; a claim that is None is left out."""
        now = int(time.time())
        said = {"iss": self.url, "aud": AUDIENCE, "sub": "bob", "iat": now, "exp": now + 300, **claims}
        said = {name: value for name, value in said.items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": self.keys[key].kid, **(header or {})}, said, self.keys[key])

    def document(self, path: str) -> dict[str, Any] | None:
        """What is at this path."""
        if path == "/keys":
            self.asked_for_keys += 1
            return {"keys": [key.as_dict(private=False) for key in self.keys]}
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "id_token_signing_alg_values_supported": ["RS256"],
            }
        return None

    def authorized(self, query: str) -> str:
        """Where the browser is sent back to."""
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        assert asked["code_challenge_method"] == "S256"
        self.codes["code-1"] = asked.get("nonce")
        return f"{asked['redirect_uri']}?{urlencode({'code': 'code-1', 'state': asked['state']})}"

    def exchanged(self, body: str) -> dict[str, Any]:
        """The tokens for a code."""
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        assert asked["code_verifier"]
        nonce = self.nonce or self.codes.pop(asked["code"])
        id_token = self.token(aud="client-1", nonce=nonce, **self.person)
        return {"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": id_token}

    @contextmanager
    def running(self) -> Iterator[IdentityProvider]:
        """It listens."""
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                if parts.path == "/authorize":
                    self.send_response(302)
                    self.send_header("location", provider.authorized(parts.query))
                    self.send_header("content-length", "0")
                    self.end_headers()
                else:
                    self._answer(provider.document(parts.path))

            def do_POST(self) -> None:
                self._answer(provider.exchanged(self.rfile.read(int(self.headers["content-length"])).decode()))

            def _answer(self, document: dict[str, Any] | None) -> None:
                body = json.dumps(document).encode()
                self.send_response(200 if document is not None else 404)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}"
            thread = Thread(target=server.serve_forever)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join(10)
