"""The transformer of the service: the same numbers as its twin in this process, and nothing left behind."""

import copy
import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import (
    check_complex_data,
    check_do_not_raise_errors_in_init_or_set_params,
    check_estimator,
    check_estimator_cloneable,
    check_estimator_repr,
    check_estimator_tags_renamed,
    check_estimators_empty_data_messages,
    check_get_params_invariance,
    check_mixin_order,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_requires_y_none,
    check_set_params,
    check_transformers_unfitted,
)

import pinwheel
from pinwheel.client import Client
from pinwheel.errors import NotFound
from pinwheel.estimator import SparseEncoder
from pinwheel.up import Service
from worker.estimator import SparseEncoder as InProcess

SMALL: dict[str, Any] = {
    "units": 20,
    "epochs": 3,
    "batch_size": 50,
    "learning_rate": 0.01,
    "image_shape": (28, 28),
    "device": "cpu",
    "spec": {"model": {"encoder": {"passes": 3}}},
}
# Those of scikit-learn's checks that train nothing; the twin in this process passes them all.
CHECKS = [
    check_complex_data,
    check_do_not_raise_errors_in_init_or_set_params,
    check_estimator_cloneable,
    check_estimator_repr,
    check_estimator_tags_renamed,
    check_estimators_empty_data_messages,
    check_requires_y_none,
    check_transformers_unfitted,
    check_get_params_invariance,
    check_mixin_order,
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
    check_set_params,
]


@pytest.fixture(scope="module")
def data(digits: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of 200 digits, and labels that are names."""
    names = np.array([f"a {digit}" for digit in range(10)])
    return digits[0][:200].reshape(200, 784), names[digits[1][:200]]


@pytest.fixture(autouse=True)
def as_many_threads() -> Iterator[None]:
    """As the encode worker of the tests' service has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def fitted(service: Service, data: tuple[np.ndarray, np.ndarray]) -> SparseEncoder:
    return SparseEncoder(base_url=service.url, **SMALL).fit(*data)


def there(service: Service) -> dict[str, set[str]]:
    """What the service has now."""
    with Client(service.url) as client:
        return {
            "data sets": {each.id for each in client.datasets()},
            "jobs": {each.id for each in client.jobs()},
            "models": {each.id for each in client.models()},
        }


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_checks_of_scikit_learn_hold_that_train_nothing(check: Callable[..., None]) -> None:
    check("SparseEncoder", SparseEncoder())


@pytest.mark.skipif(os.environ.get("PINWHEEL_SLOW_TESTS") != "1", reason="some 100 trainings; PINWHEEL_SLOW_TESTS=1")
@pytest.mark.timeout(1800)
def test_every_check_of_scikit_learn_holds_through_the_service(service: Service) -> None:
    given = {"units": 8, "epochs": 1, "device": "cpu", "spec": {"model": {"encoder": {"passes": 3}}}}
    results = check_estimator(SparseEncoder(base_url=service.url, **given), on_fail=None, on_skip=None)
    assert len(results) > 40
    assert [each["check_name"] for each in results if each["status"] == "failed"] == []


def test_the_twins_have_the_same_parameters_but_for_where_they_train() -> None:
    ours, theirs = SparseEncoder().get_params(), InProcess().get_params()
    assert ours.keys() - theirs.keys() == {"base_url", "api_key", "publish_as"}
    assert theirs.keys() - ours.keys() == {"threads"}
    assert all(ours[name] == theirs[name] for name in ours.keys() & theirs.keys())
    assert pinwheel.SparseEncoder is SparseEncoder


def test_its_numbers_are_those_of_its_twin_bit_for_bit(
    fitted: SparseEncoder, data: tuple[np.ndarray, np.ndarray]
) -> None:
    twin = InProcess(**SMALL).fit(*data)
    features = fitted.transform(data[0])
    assert features.any()
    assert (features == twin.transform(data[0])).all()
    assert (fitted.components_ == twin.components_).all()
    assert (fitted.inverse_transform(features) == twin.inverse_transform(features)).all()
    assert fitted.classes_.tolist() == twin.classes_.tolist() == [f"a {digit}" for digit in range(10)]
    assert fitted.spec_ == twin.spec_
    assert fitted.metrics_ == twin.metrics_
    assert fitted.set_params(topk=3, sparse_output=True).transform(data[0][:9]).toarray() == pytest.approx(
        twin.set_params(topk=3, sparse_output=True).transform(data[0][:9]).toarray(), abs=1e-5
    )
    fitted.set_params(topk=None, sparse_output=False)


def test_it_is_a_step_of_a_pipeline_that_is_cross_validated_and_leaves_nothing(
    service: Service, data: tuple[np.ndarray, np.ndarray]
) -> None:
    before = there(service)
    scores = [
        cross_val_score(make_pipeline(encoder, LogisticRegression(C=100, max_iter=500)), *data, cv=2)
        for encoder in (SparseEncoder(base_url=service.url, **SMALL), InProcess(threads=1, **SMALL))
    ]
    gc.collect()
    assert there(service) == before
    assert np.min(scores) > 0.4


def test_what_cannot_be_trained_is_a_value_error_and_leaves_nothing(
    service: Service, data: tuple[np.ndarray, np.ndarray]
) -> None:
    before = there(service)
    with pytest.raises(ValueError, match="requires y"):
        SparseEncoder(base_url=service.url).fit(data[0])
    with pytest.raises(ValueError, match="kernel_size"):
        SparseEncoder("conv-group", base_url=service.url, image_shape=(784, 1)).fit(data[0])
    assert there(service) == before


def test_a_copy_keeps_the_model_until_it_is_deleted(fitted: SparseEncoder, data: tuple[np.ndarray, np.ndarray]) -> None:
    """The last test of `fitted`."""
    features = fitted.transform(data[0][:5])
    assert fitted._removal.alive
    written, copied = pickle.dumps(fitted), copy.deepcopy(fitted)
    assert not fitted._removal.alive
    assert (pickle.loads(written).transform(data[0][:5]) == features).all()  # noqa: S301
    copied.delete()
    for each in (fitted, copied):
        with pytest.raises(NotFound):
            each.transform(data[0][:5])


def test_without_scikit_learn_the_package_works_and_says_what_is_missing() -> None:
    code = """
import sys
sys.modules["sklearn"] = None
import pinwheel
pinwheel.Client("http://127.0.0.1:9").close()
try:
    pinwheel.SparseEncoder
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "pinwheel.SparseEncoder needs scikit-learn: pip install 'pinwheel[estimator]'"
