"""Pinwheel learns sparse features from images. This package is the language and the door; it loads no torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pinwheel.client import AsyncClient, Client

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "__version__"]

LATER = {"AsyncClient": "pinwheel.client", "Client": "pinwheel.client"}


def __getattr__(name: str) -> Any:
    """`pinwheel.Client` is loaded when it is first asked for: the trainer needs the specs and no HTTP client."""
    if name in LATER:
        return getattr(import_module(LATER[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
