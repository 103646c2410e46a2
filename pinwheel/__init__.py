"""Pinwheel learns sparse features from images. This package is the language and the door; it loads no torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pinwheel.client import AsyncClient, Client
    from pinwheel.estimator import SparseEncoder

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "SparseEncoder", "__version__"]

LATER = {
    "AsyncClient": "pinwheel.client",
    "Client": "pinwheel.client",
    "SparseEncoder": "pinwheel.estimator",
}


def __getattr__(name: str) -> Any:
    """Loaded when it is first asked for: the trainer needs the specs, and no HTTP client or scikit-learn."""
    if name not in LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(LATER[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("sklearn", "scipy"):
            raise
        raise ImportError(f"pinwheel.{name} needs scikit-learn: pip install 'pinwheel[estimator]'") from error
