"""The OpenAPI document: what FastAPI writes, with the schemas of bodies that routes read by themselves, the ways to
send a key, and links from what creates or lists something to what is done with it."""

from typing import Any, TypeAlias

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.access import scope_of
from app.documented import Problem, ProblemEntry, errors
from app.formats.embeddings import EmbeddingRequest
from app.formats.options import DatasetOptions
from pinwheel.specs import EncodeJob, TrainJob
from pinwheel.specs.builtin import BuiltinRequest, BuiltinSource

Fields: TypeAlias = dict[str, Any]

SCHEMAS = (Problem, ProblemEntry, TrainJob, EncodeJob, BuiltinRequest, BuiltinSource, DatasetOptions, EmbeddingRequest)
# Where a name comes from: the answer of an operation, the place of the name in it; and the parameter that takes it.
SOURCES = (
    ("post", "/v1/datasets", "/id", "dataset_id"),
    ("get", "/v1/datasets", "/data/0/id", "dataset_id"),
    ("post", "/v1/jobs", "/id", "job_id"),
    ("get", "/v1/jobs", "/data/0/id", "job_id"),
    ("get", "/v1/models", "/data/0/name", "model"),
    ("get", "/v1/recipes", "/data/0/name", "name"),
)


def document_of(app: FastAPI) -> Fields:
    """Made once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        _add_schemas(document)
        _tell_of_keys(document)
        _link(document)
        app.openapi_schema = document
    return app.openapi_schema


def _add_schemas(document: Fields) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for model in SCHEMAS:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= schema.pop("$defs", {})
        schemas[model.__name__] = schema
    schemas[BuiltinRequest.__name__]["properties"]["options"] = {"$ref": "#/components/schemas/DatasetOptions"}


def _tell_of_keys(document: Fields) -> None:
    """Where the service has keys, every route but the public ones asks for one, in one of three ways."""
    schemes = document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "basic": {"type": "http", "scheme": "basic", "description": "The key as password."},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    ways: list[dict[str, list[str]]] = [{}]
    ways += [{name: []} for name in schemes]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if scope_of(method.upper(), path) is not None:
                operation["security"] = ways
                refusals = {str(status): told for status, told in errors(401, 403, 429).items()}
                operation["responses"] = dict(sorted((operation["responses"] | refusals).items()))


def _link(document: Fields) -> None:
    paths: dict[str, dict[str, Fields]] = document["paths"]
    for method, path, place, name in SOURCES:
        links = {
            operation["operationId"]: {
                "operationId": operation["operationId"],
                "parameters": {f"path.{name}": f"$response.body#{place}"},
            }
            for target, operations in paths.items()
            if f"{{{name}}}" in target
            for operation in operations.values()
        }
        for status, response in paths[path][method]["responses"].items():
            if status.startswith("2"):
                response["links"] = links
