"""What both sparse encoders for scikit-learn have in common; how they train and encode is their own.

Needs scikit-learn (`pip install 'pinwheel[estimator]'`).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from pinwheel.estimator_spec import (
    as_pixels,
    check_enough,
    image_shape_of,
    images_of,
    needs_labels,
    resolved,
    why_not_decodable,
)
from pinwheel.selection import select
from pinwheel.specs import StackSpec, TrainSpec

MOST_BLOCK_BYTES = 16 * 2**20  # of rows that are encoded together


@dataclass(frozen=True)
class Trained:
    """What a training left: `filters` (units, …) as pictures, `mean` (inputs,) that whitening took away, if it did."""

    filters: NDArray[np.float32]
    mean: NDArray[np.float32] | None
    metrics: dict[str, Any]


def _is_decodable(estimator: "SparseTransformer") -> bool:
    """Raises AttributeError with the reason where features of a fitted model cannot be decoded."""
    spec = getattr(estimator, "_spec", None)
    reason = None if spec is None else why_not_decodable(spec)
    if reason is not None:
        raise AttributeError(f"inverse_transform is not defined for this {type(estimator).__name__}: {reason}")
    return True


class SparseTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """Fit, transform and decode around `_train` and `_encode` of a subclass, which names the parameters."""

    recipe: str
    units: int | None
    weight: float | None
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    image_shape: tuple[int, ...] | None
    validation_fraction: float | None
    topk: int | None
    sparse_output: bool
    random_state: Any
    device: str
    spec: dict[str, Any] | None

    @abstractmethod
    def _train(self, images: NDArray[Any], labels: NDArray[np.int64] | None, spec: TrainSpec | StackSpec) -> Trained:
        """Train on images (n, height, width, channels) or (n, inputs) and whole-number labels; keep the model."""

    @abstractmethod
    def _encode(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Features (n, features) of the model that `_train` kept."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from X, (n, inputs) or images (n, height, width[, channels]), and from labels y where the recipe has a
        classifier; y is not looked at elsewhere. Pixels of uint8 are taken as value / 255, anything else as it is.

        Raises ValueError for data or parameters that do not fit.
        """
        rows, found = self._rows(X, reset=True)
        spec = self._resolved(int(_seed(self.random_state)))
        shape = image_shape_of(self.image_shape, found, rows.shape[1])
        labels = self._labels(y, len(rows)) if needs_labels(spec) else None
        check_enough(spec, *rows.shape)
        self._check_share(len(rows))
        trained = self._train(images_of(rows, shape), labels, spec)
        self._spec, self.spec_, self.image_shape_ = spec, spec.model_dump(mode="json"), shape
        self.components_ = trained.filters.reshape(len(trained.filters), -1)
        self.metrics_ = trained.metrics
        self._mean = trained.mean
        self._n_features_out = self._encode(images_of(rows[:1], shape)).shape[1]
        return self

    def transform(self, X: Any) -> Any:
        """Features (n, features), float32: an array, or a CSR matrix with `sparse_output`."""
        check_is_fitted(self)
        rows, _ = self._rows(X, reset=False)
        some = max(1, MOST_BLOCK_BYTES // max(1, rows[0].nbytes))
        blocks = [
            self._kept(self._encode(images_of(rows[start : start + some], self.image_shape_)))
            for start in range(0, len(rows), some)
        ]
        return sparse.vstack(blocks, format="csr") if self.sparse_output else np.concatenate(blocks)

    @available_if(_is_decodable)
    def inverse_transform(self, X: Any) -> NDArray[np.float32]:
        """Rows (n, inputs) that features (n, features) stand for, D z with the whitening undone.

        They are in the scale that the model sees: a recipe with `scale: unit-norm` or `standard` has divided every row
        by its own norm or deviation, which features do not tell. Not there (AttributeError) for stacks, pools,
        connections that are not dense, patches, local normalisation and images made gray.
        """
        check_is_fitted(self)
        features = check_array(X, accept_sparse="csr", dtype=np.float32)
        if features.shape[1] != len(self.components_):
            raise ValueError(f"X has {features.shape[1]} features; this model has {len(self.components_)}")
        found: NDArray[np.float32] = np.asarray(features @ self.components_)
        return found if self._mean is None else found + self._mean

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        try:
            tags.target_tags.required = needs_labels(self._resolved(0))
        except ValueError:  # told by `fit`
            tags.target_tags.required = False
        return tags

    def _resolved(self, seed: int) -> TrainSpec | StackSpec:
        names = ("units", "weight", "epochs", "batch_size", "learning_rate", "device")
        return resolved(self.recipe, {name: getattr(self, name) for name in names}, self.spec, seed)

    def _rows(self, X: Any, *, reset: bool) -> tuple[NDArray[Any], tuple[int, ...] | None]:
        """(n, inputs), and the shape of each image where X has more axes than rows and columns."""
        shape = None
        if getattr(X, "ndim", 2) > 2:
            images = check_array(X, allow_nd=True)
            shape = images.shape[1:]
            X = images.reshape(len(images), -1)
        return as_pixels(validate_data(self, X, reset=reset)), shape

    def _labels(self, y: Any, count: int) -> NDArray[np.int64]:
        """y as whole numbers; their names are `classes_`."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None: the recipe {self.recipe!r} "
                "has a classifier"
            )
        y = column_or_1d(y, warn=True)
        if len(y) != count:
            raise ValueError(f"Found input variables with inconsistent numbers of samples: {[count, len(y)]}")
        check_classification_targets(y)
        encoder = LabelEncoder().fit(y)
        self.classes_ = encoder.classes_
        labels: NDArray[np.int64] = encoder.transform(y).astype(np.int64)
        return labels

    def _check_share(self, count: int) -> None:
        share = self.validation_fraction
        if share is not None and not (0 < share < 1 and 0 < round(share * count) < count):
            raise ValueError(f"validation_fraction is {share}; above 0, below 1, and some of {count} rows are allowed")

    def _kept(self, features: NDArray[np.float32]) -> Any:
        if self.topk is not None:
            features = select(features, topk=self.topk)
        return sparse.csr_matrix(features) if self.sparse_output else features


def _seed(random_state: Any) -> int:
    """A whole number is the seed itself, as in a request; None and generators are drawn from."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
