"""`pinwheel.SparseEncoder`: a scikit-learn transformer that trains and encodes through the service."""

import tempfile
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pinwheel.client import Client, Dataset, Job, Model
from pinwheel.errors import PinwheelError, Unprocessable
from pinwheel.estimator_spec import request_fields
from pinwheel.exports.weights import Weights
from pinwheel.ids import new_id
from pinwheel.sparse_transformer import SparseTransformer, Trained
from pinwheel.specs import StackSpec, TrainSpec

CLEANING_SECONDS = 20.0


class SparseEncoder(SparseTransformer):
    """Sparse features of images, learned by the service at `base_url`.

    `worker.estimator.SparseEncoder` is the same in this process and without a server: on a CPU, with one seed and as
    many threads, its features are the same bit for bit.

    Parameters
    ----------
    recipe : what is trained (docs/models.md); every row is one input, whatever patches the recipe takes by itself
    units, weight, epochs, batch_size, learning_rate : those of the recipe where None
    image_shape : (height, width[, channels]) of each row; None where rows are vectors, or X has the shape of images
    validation_fraction : share of the rows that `metrics_` are computed on and that nothing is learned from
    topk : at most so many features of each row are kept, the largest
    sparse_output : whether `transform` gives a CSR matrix
    random_state : a whole number is the seed of the training
    device : `auto`, `cpu` or `cuda`
    spec : fields of a training request laid over all of this: preprocessing, model, training, stages, resources
    verbose : show on stderr how far the training is
    base_url, api_key : of the service
    publish_as : name to publish the model under. It then stays, with its training and data set. None: nothing stays;
        the model is deleted when the estimator is, unless it was copied or pickled (`delete` does it then)

    Attributes
    ----------
    components_ : (units, inputs), what each unit adds to a row; of units that see a part of an image, that part
    classes_ : the labels, where the recipe has a classifier
    metrics_, spec_ : of the training
    model_ : `name@version` of the published model
    n_features_in_, feature_names_in_, image_shape_
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
        base_url: str = "http://127.0.0.1:8000",
        api_key: str | None = None,
        publish_as: str | None = None,
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
        self.base_url = base_url
        self.api_key = api_key
        self.publish_as = publish_as

    def delete(self) -> None:
        """Delete the published model; this estimator, and every copy of it, can no longer transform."""
        with self._client() as client:
            client.model(self.model_).delete()

    def __getstate__(self) -> dict[str, Any]:
        """A copy needs the model for as long as it lives, which nobody here can know: the model stays."""
        removal = self.__dict__.get("_removal")
        if removal is not None:
            removal.detach()
        state: dict[str, Any] = super().__getstate__()
        return {name: value for name, value in state.items() if name != "_removal"}

    def _client(self) -> Client:
        return Client(self.base_url, self.api_key)

    def _train(self, images: NDArray[Any], labels: NDArray[np.int64] | None, spec: TrainSpec | StackSpec) -> Trained:
        name = self.publish_as or new_id("estimator").lower().replace("_", "-")
        with self._client() as client:
            dataset = client.create_dataset(images, labels, name=name)
            job = None
            try:
                job = self._started(client, dataset, name, spec)
                job.wait(progress=self.verbose)
                model = _published(client, job)
            finally:
                _stopped(job)
                if self.publish_as is None:
                    _cleared(dataset, job)
            self.model_ = model.id
            if self.publish_as is None:
                self._removal = weakref.finalize(self, _remove, self.base_url, self.api_key, model.id)
            return Trained(model.filters("npy"), _mean(model, spec), dict(job.record["metrics"]))

    def _started(self, client: Client, dataset: Dataset, name: str, spec: TrainSpec | StackSpec) -> Job:
        fields = request_fields(spec)
        try:
            return client.train(
                dataset=dataset, recipe=self.recipe, validation=self.validation_fraction, publish_as=name, **fields
            )
        except Unprocessable as error:
            raise ValueError(error.detail) from error

    def _encode(self, images: NDArray[Any]) -> NDArray[np.float32]:
        with self._client() as client:
            found: NDArray[np.float32] = client.model(self.model_).encode(images)
        return found


def _published(client: Client, job: Job) -> Model:
    if job.status != "succeeded" or job.model is None:
        reason = (job.record["error"] or {}).get("detail", "no reason is known")
        raise PinwheelError(f"the training {job.id} {job.status}: {reason}")
    return client.model(job.model)


def _mean(model: Model, spec: TrainSpec | StackSpec) -> NDArray[np.float32] | None:
    if spec.preprocessing.whiten != "zca":
        return None
    with tempfile.TemporaryDirectory() as folder:
        weights = Weights.load(model.weights(Path(folder) / "model.safetensors"))
    return weights.tensors["preprocessing.mean"]


def _stopped(job: Job | None) -> None:
    """Of a training that is no longer waited for, after Ctrl-C for example, nobody wants the rest."""
    if job is not None and not job.terminal:
        with suppress(PinwheelError, OSError):
            job.cancel().wait(CLEANING_SECONDS)


def _cleared(dataset: Dataset, job: Job | None) -> None:
    """Leave no training and no data behind, whatever has happened; the model is another matter."""
    if job is not None:
        with suppress(PinwheelError, OSError):
            job.delete()
    with suppress(PinwheelError, OSError):
        dataset.delete()


def _remove(base_url: str, api_key: str | None, model: str) -> None:
    with suppress(PinwheelError, OSError), Client(base_url, api_key, CLEANING_SECONDS, retries=0) as client:
        client.model(model).delete()
