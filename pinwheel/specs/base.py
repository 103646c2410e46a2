"""What every spec is: frozen, closed, strict and finite. A typo or a text where a number belongs is an error."""

import json
import typing
from typing import Any, LiteralString

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError


class Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers(cls, given: Any) -> Any:
        """JSON does not tell 3.0 from 3, and some languages write every number with a point."""
        if not isinstance(given, dict):
            return given
        return {name: _whole(value, cls.model_fields.get(name)) for name, value in given.items()}


def _whole(value: Any, field: FieldInfo | None) -> Any:
    if field is None or not isinstance(value, float) or not value.is_integer():
        return value
    kinds = typing.get_args(field.annotation) or (field.annotation,)
    return int(value) if int in kinds and float not in kinds else value


def merge(default: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """`given` laid over `default`, field by field.

    A part of another `kind` replaces the default part whole: the fields of one kind mean nothing to another.
    """
    merged = dict(default)
    for name, value in given.items():
        base = default.get(name)
        alike = (
            isinstance(base, dict)
            and isinstance(value, dict)
            and value.get("kind", base.get("kind")) == base.get("kind")
        )
        merged[name] = merge(base, value) if isinstance(base, dict) and alike else value
    return merged


def nested(setting: str) -> dict[str, Any]:
    """`a.b=1` → {"a": {"b": 1}}; what is not JSON is taken as text."""
    name, equals, text = setting.partition("=")
    if not equals:
        raise ValueError(f"{setting!r} is not NAME=VALUE, for example model.connection.units=100")
    try:
        value: Any = json.loads(text)
    except json.JSONDecodeError:
        value = text
    for part in reversed(name.split(".")):
        value = {part: value}
    return dict(value)


def misplaced(place: str, detail: str, code: LiteralString = "value_error") -> PydanticCustomError:
    """An error of the whole that is to be put right at `place` in it."""
    return PydanticCustomError(code, "{detail}", {"place": place, "detail": detail})
