"""Asking for a data set that comes with Pinwheel."""

from typing import Any, Literal

from pydantic import Field

from pinwheel.specs.base import Spec


class BuiltinSource(Spec):
    type: Literal["builtin"]
    name: Literal["digits", "digits-test", "photos", "photos-small"]


class BuiltinRequest(Spec):
    """`{"source": {"type": "builtin", "name": "digits"}}`"""

    source: BuiltinSource
    name: str | None = None
    options: dict[str, Any] = Field(default_factory=dict, description="As in the query of an upload: color, layout, …")
