"""Pinwheel learns sparse features from images. This package is the language and the door; it loads no torch."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pinwheel.client import Client

__version__ = "0.1.0"
__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> Any:
    """`pinwheel.Client` is loaded when it is first asked for: the trainer needs the specs and no HTTP client."""
    if name == "Client":
        from pinwheel.client import Client

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
