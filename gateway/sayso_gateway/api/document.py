"""The OpenAPI document: what FastAPI finds, and what it cannot know.

In: the app. Out: the document. Its errors are problem documents everywhere, and every route but webhooks needs a login.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from sayso_gateway.api.shapes import Problem, problems

SCHEMES = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}, "development": {"type": "http", "scheme": "basic"}}
DESCRIPTION = """\
Everything that is asked or decided here becomes an event on a topic; what became of it is read from the ledger (docs/http-api.md).
"""


def described(app: FastAPI) -> dict[str, Any]:
    """The document."""
    document = get_openapi(title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes)
    components = document.setdefault("components", {})
    components["securitySchemes"] = SCHEMES
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path.startswith("/webhooks/"):
                operation["responses"] |= {str(status): told for status, told in problems(404).items()}
            else:
                operation["security"] = [{name: []} for name in SCHEMES]
    return document
