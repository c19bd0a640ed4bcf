"""Settings of the gateway: where it listens, what it takes, whom it believes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr

from sayso.settings_section import Section


class JwtSettings(Section):
    """JSON Web Tokens that the gateway believes (`Authorization: Bearer`); without an issuer it believes none."""

    issuer: str | None = Field(None, min_length=1, description="`iss` of the tokens.")
    audience: str = Field("sayso", min_length=1, description="`aud` of the tokens.")
    jwks_url: str | None = Field(
        None, pattern=r"^https?://[^/\s]+/\S*$", description="Where the issuer's keys are; read again when a key is unknown."
    )
    jwks_file: Path | None = Field(None, description="Or the file that holds them.")
    algorithms: tuple[str, ...] = Field(
        ("RS256", "PS256", "ES256", "EdDSA"), description="Which signatures are believed; never `none`."
    )
    person_claim: str = Field("sub", description="Claim with the person's id, as directory.yaml knows it: `sub`, `email`.")
    roles_claim: str = Field("roles", description="Claim with the roles; without it the directory says which.")
    leeway: timedelta = Field(
        timedelta(seconds=30), ge=timedelta(0), le=timedelta(minutes=5), description="How far clocks may be apart."
    )


class OidcSettings(Section):
    """Login with OpenID Connect (`/login`); without a client there is none. Claims are read as `gateway.jwt` says."""

    discovery_url: str | None = Field(
        None, pattern=r"^https?://\S+$", description="`https://issuer/.well-known/openid-configuration` of the identity provider."
    )
    client_id: str | None = Field(None, min_length=1, description="Our id there.")
    client_secret: SecretStr | None = Field(None, description="Our secret there.")
    session: timedelta = Field(timedelta(hours=8), gt=timedelta(0), le=timedelta(days=7), description="How long a login lasts.")


class GatewaySettings(Section):
    """The gateway: webhooks, events and requests over HTTP."""

    address: str = Field("127.0.0.1", description="Address that it listens on.")
    port: int = Field(8088, ge=1, le=65_535, description="Port that it listens on.")
    public_origin: str | None = Field(
        None,
        pattern=r"^https?://[^/\s]+$",
        description="How others reach it, `https://approvals.example.com`; every address that it gives out begins so. Else http://ADDRESS:PORT.",
    )
    other_hosts: tuple[str, ...] = Field((), description="Further names (`host:port`) under which it answers; all others are refused.")
    body_bytes_max: int = Field(1024 * 1024, ge=1024, le=4 * 1024 * 1024, description="Longest body that is taken; longer: 413.")
    header_bytes_max: int = Field(32 * 1024, ge=1024, description="How long all headers of a request may be; longer: 431.")
    requests_a_second: int = Field(200, ge=1, description="How many requests of one person or address are answered; more: 429.")
    publish_timeout: timedelta = Field(
        timedelta(seconds=10), gt=timedelta(0), description="How long the broker may take; after that the sender is told 503."
    )
    waiting_max: int = Field(2_000, ge=1, description="How many events may wait for the broker at once; more: 503.")
    development_login: bool = Field(
        False, description="Anyone of directory.yaml may log in without a password; only on a loopback address, and it says so."
    )
    sender: str = Field("gateway", min_length=1, description="Sender of senders.yaml that signs the decisions of who is logged in.")
    jwt: JwtSettings = JwtSettings()
    oidc: OidcSettings = OidcSettings()
