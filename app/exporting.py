"""The encoder of a published model as an ONNX file, where this server has the package `onnx`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeAlias

from pinwheel.errors import InvalidConfig, NotAcceptable
from pinwheel.exports.weights import Weights

Pixels: TypeAlias = Literal["float32", "uint8"]


def exported(path: Path, model: str, topk: int | None, layer: int | None, pixels: Pixels) -> bytes:
    """Raises `NotAcceptable` without that package, `InvalidConfig` for a model that no graph of operators encodes."""
    if find_spec("onnx") is None:
        raise NotAcceptable(
            "This server writes no ONNX: the package onnx is not installed (pip install 'pinwheel[onnx]'). There are: "
            "safetensors, npz."
        )
    # a heavy package that nothing else needs: loaded when somebody asks
    from pinwheel.exports.encoder import onnx_bytes

    try:
        return onnx_bytes(Weights.load(path), layer=layer, topk=topk, pixels=pixels)
    except ValueError as error:
        detail = f"{model} cannot be exported as ONNX: {error}"
        raise InvalidConfig(
            detail, errors=[{"pointer": "#/query/format", "code": "not_exportable", "detail": detail}]
        ) from error
