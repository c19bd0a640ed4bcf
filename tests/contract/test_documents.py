"""The generated documents: checked in, up to date, and valid by the standards that they name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator
from pydantic import ValidationError

from sayso.contracts.catalog import EVENT_TYPES
from sayso.correlation.bindings import load_bindings
from sayso.schemas.documents import documents, write_documents
from sayso.schemas.payloads import payload_schema

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BINDINGS = ROOT / "config" / "bindings.yaml"


def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DOCS / "asyncapi.yaml").read_text(encoding="utf-8"))
    return document


def test_what_is_checked_in_is_what_the_code_says() -> None:
    stale = [
        name
        for name, text in documents(load_bindings(BINDINGS))
        if not (DOCS / name).exists() or (DOCS / name).read_text(encoding="utf-8") != text
    ]
    assert not stale, f"out of date: {stale}; run: make docs"
    wanted = {f"{name}.json" for name in EVENT_TYPES}
    assert {path.name for path in (DOCS / "schemas").glob("*")} == wanted, "run: make docs"


def test_writing_removes_the_schema_of_a_type_that_is_no_more(tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "com.acme.gone.v1.json").write_text("{}", encoding="utf-8")
    written = list(write_documents(tmp_path, BINDINGS))
    assert not (tmp_path / "schemas" / "com.acme.gone.v1.json").exists()
    assert all(path.exists() for path in written)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_payload_schema_is_valid_and_tolerant_of_unknown_fields(event_type: str) -> None:
    schema = payload_schema(event_type)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"].endswith(event_type)
    assert schema["description"], f"{event_type}: its docstring says nothing after the colon"
    assert schema["additionalProperties"] is True


CAPTURED = {"order_id": "PO-1", "amount": "10.00"}


@pytest.mark.parametrize(
    ("fields", "valid"),
    [
        ({}, True),
        ({"amount": 10}, True),
        ({"amount": 10.5}, True),
        ({"amount": "1e3"}, True),
        ({"amount": "ten"}, False),
        ({"amount": "1_000"}, False),
        ({"amount": -1}, False),
        ({"amount": True}, False),
        ({"amount": None}, False),
        ({"order_id": 4711}, True),
        ({"order_id": ""}, False),
        ({"order_id": "x" * 501}, False),
        ({"order_id": True}, False),
        ({"currency": "eur"}, True),
        ({"currency": "EURO"}, False),
        ({"payment_id": None}, True),
        ({"own_field": [1]}, True),
    ],
)
def test_the_schema_and_the_model_agree(fields: dict[str, Any], valid: bool) -> None:
    data = CAPTURED | fields
    kind = EVENT_TYPES["com.acme.payment.captured.v1"]
    try:
        kind.model.model_validate(data)
        understood = True
    except ValidationError:
        understood = False
    assert understood is valid
    assert Draft202012Validator(payload_schema("com.acme.payment.captured.v1")).is_valid(data) is valid


def test_asyncapi_is_valid_by_its_own_schema() -> None:
    schema = json.loads((Path(__file__).parent / "data" / "asyncapi-3.0.0.json").read_text(encoding="utf-8"))
    errors = [f"{list(error.absolute_path)}: {error.message[:200]}" for error in Draft7Validator(schema).iter_errors(asyncapi())]
    assert not errors
    broken = asyncapi()
    broken["operations"]["purchase-requested"]["action"] = "eat"
    assert not Draft7Validator(schema).is_valid(broken), "the schema checks nothing"


def test_every_reference_of_asyncapi_leads_somewhere() -> None:
    document = asyncapi()
    references = re.findall(r"\$ref: '?([^'\n]+)", (DOCS / "asyncapi.yaml").read_text(encoding="utf-8"))
    assert references
    for reference in references:
        if reference.startswith("#/"):
            node = document
            for part in reference[2:].split("/"):
                node = node[part]
        else:
            assert (DOCS / reference).is_file(), reference


def test_asyncapi_has_an_operation_for_each_binding_and_each_published_type() -> None:
    operations = asyncapi()["operations"]
    rules = load_bindings(BINDINGS).rules
    published = {f"send-{name}" for name, kind in EVENT_TYPES.items() if kind.direction == "out"}
    assert set(operations) == {rule.name for rule in rules} | published
    assert {name for name, operation in operations.items() if operation["action"] == "send"} == published
    assert all(operations[rule.name]["x-sayso-binding"]["does"] == rule.does for rule in rules)
