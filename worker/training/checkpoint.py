"""Checkpoints: everything that decides the future of a training, in one safetensors file.

    model.{name}                            parameters and buffers
    adam.{parameter}.{step|exp_avg|exp_avg_sq}   state of Adam; absent where a parameter has not been updated yet
    loop.{name}                             what the loop itself carries along
    metadata: format, step (of the stage), stage, below (folder of the layers that it stands on), spec, notes,
              sha256 (see `seal`)

No state of a random generator is in it: every draw is a function of (seed, step), see `worker.data.random`. On one
CPU with one number of threads a training that goes on from a checkpoint ends bit for bit like one that never stopped.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from pinwheel.checkpoints import KEPT
from pinwheel.seal import BLANK, SEAL, intact, seal
from pinwheel.specs import StackSpec, TrainSpec
from pinwheel.specs.resumption import changed
from worker.data.files import read_tensors, write_tensors

FORMAT = "pinwheel-checkpoint/1"


def checkpoint_path(out: Path, token: int, step: int) -> Path:
    return out / "checkpoints" / f"{token}-{step:09d}.safetensors"


@dataclass
class Carried:
    """What else decides the future: tensors that the loop keeps up to date, and notes of what it has done."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """`step` of the stage, its number, and the folder of the layers it stands on, relative to that of the job; None
    where there are none, or where they are the plan's own."""

    step: int
    stage: int = 0
    below: str | None = None


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    carried: Carried,
    spec: TrainSpec | StackSpec,
    place: Place,
) -> None:
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"adam.{name}.{key}"] = value
    tensors |= {f"loop.{name}": value for name, value in carried.tensors.items()}
    metadata = {
        "format": FORMAT,
        "step": str(place.step),
        "stage": str(place.stage),
        "spec": spec.model_dump_json(),
        "notes": json.dumps(carried.notes),
        SEAL: BLANK,
        **({} if place.below is None else {"below": place.below}),
    }
    write_tensors(path, tensors, metadata, finish=seal)


def drop_older(path: Path) -> None:
    """Keep the newest `KEPT` checkpoints of the attempt that wrote `path`."""
    token = path.name.split("-")[0]
    for old in sorted(path.parent.glob(f"{token}-*.safetensors"))[:-KEPT]:
        old.unlink(missing_ok=True)


def stage_of(path: Path) -> tuple[int, str | None]:
    """The stage that a checkpoint belongs to, and the folder of what it stands on. Raises ValueError."""
    metadata, _ = read_checkpoint(path, tensors=False)
    return int(metadata.get("stage", 0)), metadata.get("below")


def read_checkpoint(path: Path, *, tensors: bool = True) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Its metadata and its tensors. Raises ValueError where it cannot be read or is not as it was written."""
    try:
        metadata, found = read_tensors(path, content=tensors)
    except (FileNotFoundError, SafetensorError) as error:
        raise ValueError(f"checkpoint {path.name} cannot be read: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ValueError(f"checkpoint {path.name} has the format {metadata.get('format')!r}; {FORMAT!r} is allowed")
    if tensors and not intact(path):
        raise ValueError(f"checkpoint {path.name} is damaged: its content is not what its sha256 says")
    return metadata, found


def load_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    carried: Carried,
    spec: TrainSpec | StackSpec,
) -> int:
    """Fill `model`, `optimizer` and `carried` from the file; returns the step of its stage.

    Raises ValueError where the file does not belong here: `pinwheel.specs.resumption` says what `spec` may change.
    """
    metadata, tensors = read_checkpoint(path)
    differ = changed(json.loads(metadata["spec"]), json.loads(spec.model_dump_json()), int(metadata["stage"]))
    if differ:
        pointer, before, after = differ[0]
        raise ValueError(f"checkpoint {path.name} belongs to another spec: there {pointer} is {before}, here {after}")
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(fitting(tensors, f"model.{name}", value))
        for name, value in carried.tensors.items():
            if f"loop.{name}" in tensors:  # a training with other settings may have carried nothing of the kind
                value.copy_(fitting(tensors, f"loop.{name}", value))
        for name, parameter in model.named_parameters():
            state = adam_state(tensors, name, parameter)
            if state:
                optimizer.state[parameter] = state
    carried.notes = json.loads(metadata["notes"])
    return int(metadata["step"])


def adam_state(tensors: dict[str, Tensor], name: str, parameter: Tensor) -> dict[str, Tensor]:
    prefix = f"adam.{name}."
    state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    # laid out and aligned in memory like a fresh state: the fused update counts on the first, equal sums on the second
    return {
        key: value.to(parameter.device, copy=True) if value.dim() == 0 else torch.empty_like(parameter).copy_(value)
        for key, value in state.items()
    }


def fitting(tensors: dict[str, Tensor], name: str, like: Tensor) -> Tensor:
    if name not in tensors or tensors[name].shape != like.shape:
        found = tuple(tensors[name].shape) if name in tensors else "nothing"
        raise ValueError(f"the checkpoint has {found} as {name}; the model needs {tuple(like.shape)}")
    return tensors[name]
