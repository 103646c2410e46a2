"""`SparseEncoder` in this process: the scikit-learn transformer without a server, a queue or a store.

Twin of `pinwheel.SparseEncoder`: the same parameters, and on a CPU the same features, bit for bit.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pinwheel.files import units_file
from pinwheel.sparse_transformer import SparseTransformer, Trained
from pinwheel.specs import StackSpec, TrainSpec, layers
from worker.data.files import read_tensors
from worker.data.reader import as_images, from_arrays
from worker.data.store import write_dataset
from worker.encoding.engine import Engine
from worker.training.loop import Message, train
from worker.training.plan import Plan

NEVER_SECONDS = 1e9


class SparseEncoder(SparseTransformer):
    """Sparse features of images, learned in this process.

    Parameters and attributes are those of `pinwheel.SparseEncoder`, without what concerns a service (base_url, api_key,
    publish_as, model_), and besides

    threads : of a training; 0 is every core, which is what the service takes
    """

    def __init__(
        self,
        recipe: str = "drsae",
        *,
        units: int | None = None,
        weight: float | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        image_shape: tuple[int, ...] | None = None,
        validation_fraction: float | None = None,
        topk: int | None = None,
        sparse_output: bool = False,
        random_state: Any = 0,
        device: str = "auto",
        spec: dict[str, Any] | None = None,
        verbose: bool = False,
        threads: int = 0,
    ) -> None:
        self.recipe = recipe
        self.units = units
        self.weight = weight
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.image_shape = image_shape
        self.validation_fraction = validation_fraction
        self.topk = topk
        self.sparse_output = sparse_output
        self.random_state = random_state
        self.device = device
        self.spec = spec
        self.verbose = verbose
        self.threads = threads

    def _train(self, images: NDArray[Any], labels: NDArray[np.int64] | None, spec: TrainSpec | StackSpec) -> Trained:
        with tempfile.TemporaryDirectory(prefix="pinwheel-") as folder:
            out = Path(folder)
            write_dataset(from_arrays(images, labels), out / "data")
            plan = Plan(
                spec=spec,
                dataset=out / "data",
                split=self.validation_fraction,
                out=out,
                threads=self.threads,
                checkpoint_seconds=NEVER_SECONDS,
            )
            with _threads_as_before():
                last = train(plan, self._told, lambda: None)
            bundle = out / last["bundle"]
            self._engine = Engine.load(bundle)
            _, found = read_tensors(bundle / units_file(len(layers(spec)) - 1))
        zca = self._engine.preprocessor.zca
        mean = None if zca is None else zca.mean.numpy()
        return Trained(found["decoder"].float().numpy(), mean, dict(last["metrics"]))

    def _encode(self, images: NDArray[Any]) -> NDArray[np.float32]:
        return self._engine.encode(as_images(images))

    def _told(self, message: Message) -> None:
        if self.verbose and message["type"] == "metrics":
            values = "  ".join(f"{name} {value:.4g}" for name, value in message["values"].items())
            print(f"step {message['step']}  epoch {message['epoch']:.2f}  {values}", file=sys.stderr)


@contextmanager
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
