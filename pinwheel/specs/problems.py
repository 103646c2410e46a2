"""Validation errors as people can use them: where, what was given, what is allowed, and the nearest known field."""

import difflib
import types
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

Place = Sequence[int | str]


def describe(errors: Sequence[ErrorDetails], data: Any, root: Any) -> list[dict[str, str]]:
    """`errors` of pydantic, found while `data` was read as `root` (a model class or a union of them)."""
    return [_describe(error, data, root) for error in errors]


def _describe(error: ErrorDetails, data: Any, root: Any) -> dict[str, str]:
    kind = error["type"]
    pointer = "#" + "".join(f"/{part}" for part in _pointer(error["loc"], data, missing=kind == "missing"))
    if kind == "extra_forbidden":
        return {"pointer": pointer, "code": "unknown_field", "detail": _unknown(error["loc"], root)}
    if "place" in error.get("ctx", {}):
        return {"pointer": f"{pointer}/{error['ctx']['place']}", "code": _code(kind), "detail": error["msg"]}
    if kind == "missing":
        return {"pointer": pointer, "code": "missing", "detail": "this field is required"}
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        pointer += "/" + str(error["ctx"]["discriminator"]).strip("'")
    given = _shown(error["input"])
    if error["msg"].startswith("Input should be "):
        detail = f"should be {error['msg'].removeprefix('Input should be ')}, not {given}"
    else:
        detail = f"{error['msg'].removeprefix('Value error, ')}; given {given}"
    return {"pointer": pointer, "code": _code(kind), "detail": detail}


def _code(kind: str) -> str:
    if kind.startswith("greater_than"):
        return "too_small"
    if kind.startswith("less_than"):
        return "too_large"
    return "wrong_type" if kind.endswith("_type") else kind


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _pointer(place: Place, data: Any, *, missing: bool) -> list[str]:
    """The place as a client wrote it: without the tags that pydantic adds for unions. The last part of it may be
    `missing` there."""
    parts: list[str] = []
    for number, part in enumerate(place):
        absent = missing and number == len(place) - 1
        inside = isinstance(data, list) if isinstance(part, int) else isinstance(data, dict) and part in data
        tag = isinstance(data, dict) and not inside and part in (data.get("kind"), data.get("type"))
        if tag or not (inside or absent):
            continue
        parts.append(str(part))
        data = data[part] if inside else None
    return parts


def _unknown(place: Place, root: Any) -> str:
    wrong = str(place[-1])
    known = sorted({name for model in _models_at(place[:-1], root) for name in model.model_fields})
    nearest = difflib.get_close_matches(wrong, known, 1, cutoff=0.6)
    meant = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"there is no field {wrong!r} here; {meant}Known fields: {', '.join(known)}"


def _models_at(place: Place, root: Any) -> list[type[BaseModel]]:
    """The classes that can stand at a place, following fields and the tags of unions."""
    models = _models(root)
    for part in place:
        tagged = [model for model in models if part in _tags(model)]
        if tagged:
            models = tagged
            continue
        if isinstance(part, int) or not any(str(part) in model.model_fields for model in models):
            continue  # a place in a list, or a tag that pydantic adds
        fields = [model.model_fields[str(part)] for model in models if str(part) in model.model_fields]
        models = [found for field in fields for found in _models(field.annotation)]
    return models


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Annotated, typing.Union, types.UnionType, list, tuple):
        return [found for argument in typing.get_args(annotation) for found in _models(argument)]
    return []


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    if hasattr(model, "tag"):  # told apart by its fields, not by the value of one
        return (model.tag,)
    for name in ("kind", "type"):
        if name in model.model_fields:
            return typing.get_args(model.model_fields[name].annotation)
    return ()
