"""Claims: what a signature says. Strict and closed, because a name that nobody understands could change what the others mean."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StringConstraints, ValidationError, model_validator

from sayso.contracts.cloudevent import read_json
from sayso.contracts.payload import Key, explain
from sayso.errors import MalformedError

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[\x20-\x7e]+$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Seconds = Annotated[StrictInt, Field(ge=0, lt=253_402_300_800)]


class _Closed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SignedCase(_Closed):
    """The case that is meant: workflow and key, its instance id, or all of it."""

    workflow: Name | None = None
    key: Key | None = None
    instance: Name | None = None

    @model_validator(mode="after")
    def _names_a_case(self) -> SignedCase:
        if self.instance is None and (self.workflow is None or self.key is None):
            raise ValueError("needs `workflow` and `key`, or `instance`")
        return self


class Claims(_Closed):
    """The payload of a signature: who says what to whom, in which event, from when until when, about which case."""

    iss: Name = Field(description="The sender, as senders.yaml names it.")
    aud: Name = Field(description="The installation that it is for (setting `signing.audience`).")
    jti: str = Field(description="The event's `id`.")
    source: str = Field(description="The event's `source`.")
    type: str = Field(description="The event's `type`.")
    iat: Seconds = Field(description="When it was signed, in seconds since 1970.")
    exp: Seconds = Field(description="Until when it may arrive.")
    case: SignedCase | None = Field(None, description="Which case.")
    stage: Name | None = Field(None, description="Which stage of it, where there are several.")
    request_hash: Digest | None = Field(None, description="Decisions: `request_hash` of `sayso.approval.requested.v1`.")
    decision: dict[str, Any] | None = Field(None, description="Decisions: `approved`, `approver`, `reason`, as in the event.")
    data_hash: Digest | None = Field(None, description="Other events: SHA-256 of the RFC 8785 JSON of `data`.")


def read_claims(payload: bytes) -> Claims:
    """The claims that were signed, or a `MalformedError` that names what is wrong with them."""
    try:
        return Claims.model_validate(read_json(payload))
    except ValidationError as error:
        raise MalformedError(f"the claims of `signature`: {explain(error)}") from error
    except MalformedError as error:
        raise MalformedError(f"the claims of `signature`: {error}") from error
