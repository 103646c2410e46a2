"""The JSON form of the Open Inference Protocol, version 2: what is asked, checked, and how it is answered.

    {"id": "7", "parameters": {"topk": 5}, "inputs": [{"name": "PIXELS", "shape": [1, 28, 28, 1], "datatype": "FP32",
     "data": […]}], "outputs": [{"name": "FEATURES", "parameters": {"binary_data": true}}]}

Data are flat or nested as their shape, or raw behind the JSON (`binary_tensors`). Outputs that are not named are all
there are, raw where the request has `binary_data_output`. Everything unknown is refused.
"""

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.bodies import parse_json
from app.formats import binary_tensors
from pinwheel.errors import InvalidRequest, PayloadTooLarge

MOST_JSON_VALUES = 10_000_000
INPUTS = {"PIXELS": ("UINT8", "FP32"), "IMAGE": ("BYTES",)}
OUTPUTS = {"FEATURES": "FP32", "TOPK_INDICES": "INT64", "TOPK_VALUES": "FP32"}
PARAMETERS = ("topk", "layer", "passes", "timeout", "binary_data_output")
WHY_NOT = {
    "sequence_id": "requests here do not belong together",
    "sequence_start": "requests here do not belong together",
    "sequence_end": "requests here do not belong together",
    "priority": "requests are answered in the order in which they come",
    "classification": "ask for TOPK_INDICES and TOPK_VALUES",
    "shared_memory_region": "memory is not shared with clients; send and take the bytes",
}


@dataclass(frozen=True)
class Tensor:
    """An input: its data as flat JSON values, or its raw bytes."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any] | memoryview


@dataclass(frozen=True)
class Output:
    name: str
    binary: bool


@dataclass(frozen=True)
class Asked:
    """`timeout` in microseconds; `topk`, `layer` and `passes` as in other encode requests."""

    id: str | None
    tensor: Tensor
    outputs: list[Output]
    topk: int | None = None
    layer: int | None = None
    passes: int | None = None
    timeout: int | None = None


def parse(body: bytes, header: str | None, most_json_bytes: int) -> Asked:
    """One request. Raises `InvalidRequest` or `PayloadTooLarge`, with the value given and what is allowed."""
    text, raw = binary_tensors.split(body, header)
    if len(text) > most_json_bytes:
        raise PayloadTooLarge(
            f"The JSON has {len(text)} bytes; at most {most_json_bytes} are allowed. Send tensors in binary."
        )
    value = _object(parse_json(text), ("id", "parameters", "inputs", "outputs"), "The request")
    name = value.get("id")
    if name is not None and not isinstance(name, str):
        raise InvalidRequest(f"id is {_shown(name)}; it must be text.")
    parameters = _parameters(value.get("parameters"), PARAMETERS, "parameters")
    all_binary = _flag(parameters.pop("binary_data_output", False), "parameters.binary_data_output")
    return Asked(
        id=name,
        tensor=_input(value.get("inputs"), raw),
        outputs=_outputs(value.get("outputs"), all_binary),
        **{each: _whole(given, f"parameters.{each}") for each, given in parameters.items()},
    )


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _object(value: Any, known: Sequence[str], where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{where} is {_shown(value)}; it must be an object with: {', '.join(known)}.")
    for key in value:
        if key in known:
            continue
        reason = WHY_NOT.get("shared_memory_region" if key.startswith("shared_memory") else key)
        near = difflib.get_close_matches(key, known, 1)
        hint = f" Did you mean {near[0]!r}?" if near and reason is None else ""
        raise InvalidRequest(
            f"{where} has {key[:100]!r}, which is not offered{f': {reason}' if reason else ''}. "
            f"There are: {', '.join(known) or 'none'}.{hint}"
        )
    return value


def _parameters(value: Any, known: Sequence[str], where: str) -> dict[str, Any]:
    return {} if value is None else dict(_object(value, known, where))


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"{where} is {_shown(value)}; it must be true or false.")
    return value


def _whole(value: Any, where: str) -> int:
    least = 0 if where.endswith(".layer") else 1
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**53:
        raise InvalidRequest(f"{where} is {_shown(value)}; it must be a whole number from {least} on.")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidRequest(f"{where} is {_shown(value)}; it must be a list.")
    return value


def _input(value: Any, raw: memoryview) -> Tensor:
    given = _list(value, "inputs")
    if len(given) != 1:
        raise InvalidRequest(f"There are {len(given)} inputs; exactly one is taken: {' or '.join(INPUTS)}.")
    fields = _object(given[0], ("name", "shape", "datatype", "parameters", "data"), "inputs[0]")
    name, datatype = fields.get("name"), fields.get("datatype")
    if not isinstance(name, str) or name not in INPUTS:
        raise InvalidRequest(f"There is no input {_shown(name)}; there are: {', '.join(INPUTS)}.")
    if datatype not in INPUTS[name]:
        raise InvalidRequest(f"{name} has the datatype {_shown(datatype)}; there are: {', '.join(INPUTS[name])}.")
    shape = _shape(fields.get("shape"), name)
    parameters = _parameters(fields.get("parameters"), ("binary_data_size",), f"The parameters of {name}")
    if "binary_data_size" not in parameters:
        if len(raw):
            raise InvalidRequest(f"{len(raw)} bytes follow the JSON, and no input has a binary_data_size.")
        return Tensor(name, str(datatype), shape, _flat(_list(fields.get("data"), f"The data of {name}"), shape, name))
    if "data" in fields:
        raise InvalidRequest(f"{name} has both data and a binary_data_size; send one of them.")
    size = parameters["binary_data_size"]
    if size != len(raw) or isinstance(size, bool):
        raise InvalidRequest(
            f"{name} has a binary_data_size of {_shown(size)}, and {len(raw)} bytes follow the JSON "
            f"({binary_tensors.HEADER} says where it ends)."
        )
    return Tensor(name, str(datatype), shape, raw)


def _shape(value: Any, name: str) -> tuple[int, ...]:
    sides = _list(value, f"The shape of {name}")
    if not all(isinstance(side, int) and not isinstance(side, bool) and 0 < side < 2**40 for side in sides):
        raise InvalidRequest(f"{name} has the shape {_shown(sides)}; its sides must be whole numbers above 0.")
    return tuple(sides)


def _flat(data: list[Any], shape: tuple[int, ...], name: str) -> list[Any]:
    """Values in the order of rows, of data that are flat or nested exactly as the shape."""
    if not any(isinstance(item, list) for item in data[:1]):
        return data
    rows = [data]
    for axis, side in enumerate(shape):
        for row in rows:
            if not isinstance(row, list) or len(row) != side:
                held = f"{len(row)} items" if isinstance(row, list) else _shown(row)
                raise InvalidRequest(
                    f"The data of {name} have {held} on axis {axis}; the shape {list(shape)} says {side}."
                )
        rows = [item for row in rows for item in row]
    return rows


def _outputs(value: Any, all_binary: bool) -> list[Output]:
    if value is None or value == []:
        return [Output(name, all_binary) for name in OUTPUTS]
    found: list[Output] = []
    for number, item in enumerate(_list(value, "outputs")):
        fields = _object(item, ("name", "parameters"), f"outputs[{number}]")
        name = fields.get("name")
        if not isinstance(name, str) or name not in OUTPUTS:
            raise InvalidRequest(f"There is no output {_shown(name)}; there are: {', '.join(OUTPUTS)}.")
        if name in [output.name for output in found]:
            raise InvalidRequest(f"The output {name} is asked for twice.")
        parameters = _parameters(fields.get("parameters"), ("binary_data",), f"The parameters of {name}")
        found.append(Output(name, _flag(parameters.get("binary_data", all_binary), f"binary_data of {name}")))
    return found


def render(asked: Asked, arrays: dict[str, NDArray[Any]], model: str, version: int) -> tuple[bytes, int | None]:
    """The answer's body, and how much of it is JSON where raw tensors follow."""
    told, raw = [], []
    for output in asked.outputs:
        array, datatype = arrays[output.name], OUTPUTS[output.name]
        head = {"name": output.name, "datatype": datatype, "shape": list(array.shape)}
        if output.binary:
            raw.append(binary_tensors.raw_bytes(array, datatype))
            told.append(json.dumps(head | {"parameters": {"binary_data_size": len(raw[-1])}}))
        else:
            told.append(f'{json.dumps(head)[:-1]}, "data": {_json_numbers(array)}}}')
    whole = {"model_name": model, "model_version": str(version)} | ({} if asked.id is None else {"id": asked.id})
    text = f'{json.dumps(whole)[:-1]}, "outputs": [{", ".join(told)}]}}'.encode()
    return b"".join([text, *raw]), len(text) if raw else None


def _json_numbers(array: NDArray[Any]) -> str:
    """Flat, each with the fewest digits that give the same number back."""
    if array.size > MOST_JSON_VALUES:
        raise PayloadTooLarge(f"{array.size} numbers as JSON; at most {MOST_JSON_VALUES} are written. Ask for binary.")
    return "[" + ", ".join(np.ravel(array).astype("U").tolist()) + "]"
