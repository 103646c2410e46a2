"""Train and encode without a queue, a server or a store.

    python -m worker train --recipe drsae --data DATA [--validation DATA | --split 0.1] [--set a.b=value …]
                           [--on-top-of BUNDLE] --out DIR
    python -m worker encode --model BUNDLE --data DATA [--layer 0] --out features.npy

DATA is the folder of a stored data set, or an .npz file with `images` and, for a classifier, `labels`.
"""

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np

from pinwheel import recipes
from pinwheel.errors import PinwheelError
from pinwheel.specs import ANY_SPEC, StackSpec, TrainSpec, merge, nested, taken
from worker.data.reader import Dataset, open_dataset
from worker.data.store import read_npz, write_dataset
from worker.encoding.engine import Engine
from worker.training.bundle import Bundle
from worker.training.loop import Message, train
from worker.training.plan import Plan


def main(arguments: list[str] | None = None) -> int:
    given = parser().parse_args(arguments)
    try:
        return int(given.run(given))
    except (ValueError, ArithmeticError, OSError, PinwheelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m worker", description="Train and encode without a queue.")
    commands = top.add_subparsers(required=True)
    training = commands.add_parser("train", help="train a model; the bundle is written below --out")
    training.add_argument("--recipe", default="drsae")
    training.add_argument("--data", type=Path, required=True)
    held_out = training.add_mutually_exclusive_group()
    held_out.add_argument("--validation", type=Path)
    held_out.add_argument("--split", type=float, help="share of the data that is held out for the metrics")
    training.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", dest="settings")
    training.add_argument("--on-top-of", type=Path, metavar="BUNDLE", help="put the stages on the layers of this model")
    training.add_argument("--checkpoint", type=Path, help="go on from this file")
    training.add_argument("--threads", type=int, default=0)
    training.add_argument("--out", type=Path, required=True)
    training.set_defaults(run=run_train)
    encoding = commands.add_parser("encode", help="encode images with a trained model")
    encoding.add_argument("--model", type=Path, required=True)
    encoding.add_argument("--data", type=Path, required=True)
    encoding.add_argument("--passes", type=int)
    encoding.add_argument("--layer", type=int, help="of a stack, from 0; the top one without")
    encoding.add_argument("--out", type=Path, required=True)
    encoding.set_defaults(run=run_encode)
    return top


def run_train(given: argparse.Namespace) -> int:
    plan = Plan(
        spec=resolved(given.recipe, given.settings, given.on_top_of),
        base=given.on_top_of,
        dataset=stored(given.data, given.out / "data"),
        validation=stored(given.validation, given.out / "validation") if given.validation else None,
        split=given.split,
        out=given.out,
        checkpoint=given.checkpoint,
        threads=given.threads,
    )
    wishes: list[str] = []
    # the first Ctrl-C writes a checkpoint at the next step, the second one ends at once
    signal.signal(signal.SIGINT, lambda *_: wishes.append("stop") if not wishes else sys.exit(130))
    last = train(plan, show, lambda: wishes[-1] if wishes else None)
    print(json.dumps(last))
    return 0


def run_encode(given: argparse.Namespace) -> int:
    features = Engine.load(given.model).encode(opened(given.data).images, given.passes, given.layer)
    np.save(given.out, features)
    print(f"{given.out}: {features.shape[0]} × {features.shape[1]}, {(features != 0).mean():.1%} active")
    return 0


def resolved(recipe: str, settings: list[str], base: Path | None = None) -> TrainSpec | StackSpec:
    """The recipe's spec with `settings` laid over it, texts like `model.connection.units=100`, or of a stack
    `stages.0.model.connection.units=100`; on the layers of the model in the folder `base`."""
    spec = recipes.find(recipe).spec.model_dump(mode="json")
    for setting in settings:
        spec = laid_over(spec, nested(setting))
    found = ANY_SPEC.validate_json(json.dumps(spec))
    if base is None:
        return found
    below = Bundle.load(base).spec
    given = {
        "preprocessing": below.preprocessing,
        "stages": (*taken(below, base.name), *found.stages),
        "resources": found.resources,
    }
    return StackSpec.model_validate(given)


def laid_over(spec: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Of a stack `training` is for all stages, and a stage has its number as its name."""
    if "stages" not in spec or not given.keys() <= {"training", "stages"}:
        return merge(spec, given)
    numbered = {str(number): stage for number, stage in enumerate(spec["stages"])}
    if "training" in given:
        return spec | {"stages": [merge(stage, given) for stage in spec["stages"]]}
    unknown = [name for name in given["stages"] if name not in numbered]
    if unknown:
        raise ValueError(f"there is no stage {unknown[0]!r}; there are 0 to {len(numbered) - 1}")
    return spec | {"stages": list(merge(numbered, given["stages"]).values())}


def stored(path: Path, folder: Path) -> Path:
    """The stored form of `path`, which is written to `folder` where `path` is an .npz file."""
    if path.suffix != ".npz":
        return path
    write_dataset(read_npz(path), folder)
    return folder


def opened(path: Path) -> Dataset:
    return read_npz(path) if path.suffix == ".npz" else open_dataset(path)


def show(message: Message) -> None:
    """One line per metrics message, on stdout."""
    if message["type"] == "metrics":
        values = "  ".join(f"{name} {value:.4g}" for name, value in message["values"].items())
        print(f"step {message['step']}  epoch {message['epoch']:.2f}  {values}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
