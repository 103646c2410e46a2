"""Asking for a data set that comes with Pinwheel."""

from typing import Literal

from pinwheel.specs.base import Spec


class BuiltinSource(Spec):
    type: Literal["builtin"]
    name: Literal["digits", "digits-test", "photos"]


class BuiltinRequest(Spec):
    """`{"source": {"type": "builtin", "name": "digits"}}`"""

    source: BuiltinSource
    name: str | None = None
