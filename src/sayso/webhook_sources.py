"""`config/webhooks.yaml`: which systems may send webhooks, how each proves who it is, and what becomes of what it sends.

In: the file. Out: frozen models; the gateway compiles them (`sayso_gateway/bridge`). docs/webhooks.md explains each field.
A source's secrets are named, never written here; `state_file` secrets are made here, for senders on this machine.
"""

from __future__ import annotations

import base64
import secrets
from pathlib import Path
from typing import Literal

from pydantic import Field

from sayso.config_file import ConfigFile, ConfigModel, load_config
from sayso.secret_reference import SecretReference, write_secret_once

FILE_NAME = "webhooks.yaml"
SECRET_BYTES = 32
Scheme = Literal["standard-webhooks", "stripe", "github", "slack", "hmac", "basic", "bearer"]


class HmacOptions(ConfigModel):
    """How a sender signs whose scheme has no name: where the signature is, and what is signed."""

    header: str = Field("x-signature", pattern=r"^[A-Za-z0-9-]+$", description="Header with the signature.")
    prefix: str = Field("", description="What stands before the signature in it, for example `sha256=`.")
    algorithm: Literal["sha256", "sha512", "sha1"] = Field("sha256", description="The hash of the HMAC.")
    encoding: Literal["hex", "base64"] = Field("hex", description="How the signature is written.")
    timestamp_header: str | None = Field(
        None, pattern=r"^[A-Za-z0-9-]+$", description="Header with the time, in seconds since 1970; with it, old messages are refused."
    )
    signed: str = Field("{body}", pattern=r"\{body\}", description="What is signed: `{body}`, or for example `{timestamp}.{body}`.")


class WebhookEvent(ConfigModel):
    """One kind of message of a source, and the event that it becomes. The first whose `when` is true counts."""

    type: str = Field(pattern=r"^[A-Za-z0-9._/-]+$", description="Type of the CloudEvent.")
    when: str | None = Field(None, description="CEL over `body` and `headers`: only if this is true.")
    topic: str | None = Field(None, min_length=1, description="Another topic than the source's.")
    key: str = Field(description="CEL: the business key; on Kafka it chooses the partition.")
    data: str | dict[str, str] = Field("body", description="CEL, or CEL by field: the event's data.")


class WebhookSource(ConfigModel):
    """One sender: `POST /webhooks/NAME`."""

    scheme: Scheme = Field(description="How it proves who it is.")
    secrets: tuple[SecretReference, ...] = Field(min_length=1, max_length=5, description="Its secrets; several while one is changed.")
    topic: str = Field(min_length=1, description="The topic of its events.")
    source: str | None = Field(None, min_length=1, description="`source` of its events; otherwise /webhooks/NAME.")
    id: str | None = Field(None, description="CEL: the provider's id of the event, where the scheme does not know it.")
    events: tuple[WebhookEvent, ...] = Field(min_length=1, description="What it may send.")
    hmac: HmacOptions = Field(HmacOptions(), description="Scheme `hmac`: how it signs.")
    allowed_origins: tuple[str, ...] = Field((), description="Origins that may ask with OPTIONS (CloudEvents WebHook); `*`: any.")
    a_second: int = Field(1_000, ge=1, le=100_000, description="How many messages a second are taken; above that 429.")


class WebhooksFile(ConfigModel):
    """The whole file."""

    webhooks: dict[str, WebhookSource] = Field({}, description="By name, as in the address.")


def read_webhooks(config_dir: Path) -> tuple[WebhooksFile, ConfigFile] | None:
    """The file and its lines; None when there is none."""
    path = config_dir / FILE_NAME
    return load_config(path, WebhooksFile) if path.exists() else None


def make_local_secrets(sources: WebhooksFile, state_dir: Path) -> None:
    """Make every `state_file` that is not there yet."""
    for source in sources.webhooks.values():
        for reference in source.secrets:
            if reference.state_file is not None and not (state_dir / reference.state_file).exists():
                random = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
                write_secret_once(state_dir / reference.state_file, f"whsec_{random}\n")
