"""A model's tensors in the Open Inference Protocol: images in, features and the largest of them out."""

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.encoding import takes_larger
from app.fitting import check_layer_of
from app.formats import binary_tensors
from app.formats.image_files import decode_files, from_text
from app.formats.inference import OUTPUTS, Asked, Tensor
from app.formats.inputs import Inputs, fit
from app.formats.pixels import to_stored
from app.geometry import feature_shape
from pinwheel.errors import InvalidConfig, InvalidDataset, InvalidRequest, PayloadTooLarge
from pinwheel.settings import Settings

Record: TypeAlias = dict[str, Any]

DEFAULT_TOPK = 10
PLATFORM = "pinwheel_safetensors"
CONFIG_TYPES = {"FP32": "TYPE_FP32", "INT64": "TYPE_INT64", "BYTES": "TYPE_STRING"}


def metadata(record: Record) -> dict[str, Any]:
    """−1 is any number: of images, of kept features, of pixels where larger images are cut into patches."""
    features = math.prod(feature_shape(record))
    columns = {"FEATURES": features, "TOPK_INDICES": -1, "TOPK_VALUES": -1}
    return {
        "name": record["name"],
        "versions": [str(version) for version in record["versions"]],
        "platform": PLATFORM,
        "inputs": [
            {"name": "PIXELS", "datatype": "FP32", "shape": [-1, *_image_shape(record)]},
            {"name": "IMAGE", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [{"name": name, "datatype": OUTPUTS[name], "shape": [-1, columns[name]]} for name in OUTPUTS],
    }


def config(record: Record, settings: Settings) -> dict[str, Any]:
    """As Triton writes it: the axis of images is told by `max_batch_size` and left out of `dims`."""
    told = metadata(record)
    inputs = [_configured(tensor) | {"optional": True} for tensor in told["inputs"]]
    return {
        "name": record["name"],
        "platform": PLATFORM,
        "backend": "pinwheel",
        "max_batch_size": settings.max_encode_images,
        "input": inputs,
        "output": [_configured(tensor) for tensor in told["outputs"]],
        "parameters": {
            "topk": {"string_value": str(min(DEFAULT_TOPK, math.prod(feature_shape(record))))},
            "job": {"string_value": record["job"]},
        },
    }


def _configured(tensor: dict[str, Any]) -> dict[str, Any]:
    dims = tensor["shape"][1:] or [1]
    return {"name": tensor["name"], "data_type": CONFIG_TYPES[tensor["datatype"]], "dims": dims}


def _image_shape(record: Record) -> list[int]:
    height, width, channels = record["input_shape"]
    return [-1, -1, channels] if takes_larger(record) else [height, width, channels]


def images_of(tensor: Tensor, record: Record, settings: Settings) -> NDArray[Any]:
    """The images as (N, H, W, C), uint8 or float32, for this model."""
    if tensor.shape and tensor.shape[0] > settings.max_encode_images:
        most = settings.max_encode_images
        raise PayloadTooLarge(f"{tensor.shape[0]} images in one request; {most} are allowed. More are an encode job.")
    shape, larger = tuple(record["input_shape"]), takes_larger(record)
    if tensor.name == "IMAGE":
        return fit(decode_files(_files(tensor), settings), shape, larger)
    wanted = [-1, *_image_shape(record)]
    if len(tensor.shape) != 4 or any(side not in (-1, given) for side, given in zip(wanted, tensor.shape, strict=True)):
        raise InvalidRequest(
            f"PIXELS has the shape {list(tensor.shape)}; {record['name']} takes {wanted}, where -1 is any number."
        )
    return fit(Inputs([to_stored(_pixels(tensor), 0, "PIXELS")], stacked=True), shape, larger)


def _pixels(tensor: Tensor) -> NDArray[Any]:
    if isinstance(tensor.data, memoryview):
        return binary_tensors.numbers(tensor.data, tensor.datatype, tensor.shape, tensor.name)
    if len(tensor.data) != math.prod(tensor.shape):
        raise InvalidRequest(
            f"PIXELS has {len(tensor.data)} numbers; its shape {list(tensor.shape)} says {math.prod(tensor.shape)}."
        )
    allowed = {int} if tensor.datatype == "UINT8" else {int, float}
    odd = next((value for value in tensor.data if type(value) not in allowed), None)
    if not set(map(type, tensor.data)) <= allowed:
        kind = "whole numbers from 0 to 255" if tensor.datatype == "UINT8" else "numbers"
        raise InvalidRequest(f"PIXELS of {tensor.datatype} holds {repr(odd)[:80]}; only {kind} are allowed.")
    dtype = np.int64 if tensor.datatype == "UINT8" else np.float64
    try:
        return np.array(tensor.data, dtype).reshape(tensor.shape)
    except OverflowError:
        raise InvalidDataset(f"PIXELS holds a number that does not fit into {tensor.datatype}.") from None


def _files(tensor: Tensor) -> list[tuple[str, bytes]]:
    if len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ((), (1,)):
        raise InvalidRequest(
            f"IMAGE has the shape {list(tensor.shape)}; it takes [N] or [N, 1], one file for each image."
        )
    names = [f"IMAGE[{number}]" for number in range(tensor.shape[0])]
    if isinstance(tensor.data, memoryview):
        return list(zip(names, binary_tensors.elements(tensor.data, tensor.shape, "IMAGE"), strict=True))
    if len(tensor.data) != len(names):
        raise InvalidRequest(
            f"IMAGE has {len(tensor.data)} elements; its shape {list(tensor.shape)} says {len(names)}."
        )
    return [(name, _file(value, name)) for name, value in zip(names, tensor.data, strict=True)]


def _file(value: Any, name: str) -> bytes:
    if not isinstance(value, str):
        raise InvalidRequest(f"{name} is {repr(value)[:80]}; in JSON a file is text: base64, or a data URL.")
    return from_text(value, name)


def topk_of(asked: Asked, record: Record) -> int:
    """How many features TOPK_INDICES and TOPK_VALUES keep."""
    check_layer_of(record, asked.layer, "#/parameters/layer")
    features = math.prod(feature_shape(record, asked.layer))
    if asked.topk is not None and asked.topk > features:
        raise InvalidConfig(f"topk is {asked.topk}; the model gives {features} features.")
    return min(DEFAULT_TOPK, features) if asked.topk is None else asked.topk


def outputs_of(features: NDArray[Any], asked: Asked, topk: int) -> dict[str, NDArray[Any]]:
    """FEATURES (N, features); TOPK_* (N, topk), the largest by amount first, of equal ones the lower number."""
    arrays = {"FEATURES": features}
    if {output.name for output in asked.outputs} != {"FEATURES"}:
        order = np.argsort(-np.abs(features), axis=1, kind="stable")[:, :topk]
        arrays["TOPK_INDICES"] = order.astype(np.int64)
        arrays["TOPK_VALUES"] = np.take_along_axis(features, order, axis=1)
    return arrays
