"""What every valid combination of parts keeps, whatever the parts are."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from model_parts import (
    CLASSES,
    CLASSIFIERS,
    ENCODERS,
    IMAGE_SHAPE,
    INPUTS_SHAPE,
    OUTPUTS,
    SPARSITIES,
    SPATIAL,
    SPATIAL_SPARSITIES,
    combined,
    valid,
    valid_on_images,
)
from torch import Tensor

from pinwheel import specs
from worker.data.preprocess import Preprocessor
from worker.data.reader import from_arrays
from worker.encoding.engine import Engine
from worker.sparse.autoencoder import Autoencoder
from worker.training.build import fresh_model
from worker.training.checkpoint import Carried, Place, load_checkpoint, save_checkpoint
from worker.training.evaluate import Evaluation
from worker.training.prepare import adam
from worker.training.publish import Findings, Pictured, write_layer

VALID = valid() | valid_on_images()
PREPROCESSING = specs.Preprocessing(scale="unit-norm")
BATCH, BATCH_OF_IMAGES = 40, 12


@pytest.fixture(params=VALID, scope="module")
def spec(request: pytest.FixtureRequest) -> specs.Model:
    return VALID[request.param]


def shape_of(spec: specs.Model) -> specs.Shape:
    """Of an input."""
    return INPUTS_SHAPE if isinstance(spec.connection, specs.Dense) else IMAGE_SHAPE


def batch_of(spec: specs.Model) -> int:
    return BATCH if isinstance(spec.connection, specs.Dense) else BATCH_OF_IMAGES


def images(spec: specs.Model) -> np.ndarray:
    draw = np.random.default_rng(0)
    parts = draw.random((6, *shape_of(spec)), np.float32)
    return np.einsum("nk,khwc->nhwc", draw.random((batch_of(spec), 6), np.float32) ** 3, parts)


def data(spec: specs.Model) -> tuple[Tensor, Tensor]:
    x = torch.nn.functional.normalize(torch.from_numpy(images(spec)).flatten(1), dim=1)
    return x, torch.arange(len(x)) % CLASSES


def fresh(spec: specs.Model, seed: int = 0) -> Autoencoder:
    return fresh_model(spec, data(spec)[0], CLASSES, seed, shape_of(spec))


def trained_by(spec: specs.Model) -> specs.TrainSpec:
    return specs.TrainSpec(
        preprocessing=PREPROCESSING, model=spec, training=specs.Training(), resources=specs.Resources()
    )


def losses(model: Autoencoder, spec: specs.Model, steps: int) -> Iterator[float]:
    """Train on one batch; the loss before every step and after the last."""
    optimizer = adam(model.rates())
    yield from further_losses(model, optimizer, spec, range(steps))
    yield float(model.energy(*data(spec), noise=torch.Generator().manual_seed(steps)).loss.detach())


def further_losses(
    model: Autoencoder, optimizer: torch.optim.Optimizer, spec: specs.Model, steps: range
) -> Iterator[float]:
    x, labels = data(spec)
    for group in optimizer.param_groups:
        group["lr"] = 2e-3 * group["multiplier"]
    for step in steps:
        noise = torch.Generator().manual_seed(step)
        energy = model.energy(x, labels, noise=noise)
        yield float(energy.loss.detach())
        model.zero_grad(set_to_none=True)
        energy.loss.backward()
        optimizer.step()
        model.learn(energy)
        model.project()


def test_codes_and_reconstructions_have_their_shapes(spec: specs.Model) -> None:
    model, (x, labels) = fresh(spec), data(spec)
    energy = model.energy(x, labels)
    assert model.units == math.prod(spec.connection.code_shape(shape_of(spec)))
    assert energy.code.shape == energy.decoded.shape == (len(x), model.units)
    assert energy.reconstruction.shape == x.shape
    assert model.encode(x).shape == (len(x), model.units)
    assert model.features(energy.code).shape == (len(x), math.prod(model.feature_shape))
    assert (spec.output == "code") == (model.features(energy.code) is energy.code)
    assert model.energies(x, model.encode(x)).shape == (len(x),)
    assert (energy.logits is None) == (spec.classifier.kind == "none")


def test_the_terms_sum_to_the_loss_and_none_is_negative(spec: specs.Model) -> None:
    energy = fresh(spec).energy(*data(spec))
    torch.testing.assert_close(energy.loss, torch.stack(list(energy.terms.values())).sum())
    assert all(float(term.detach()) >= 0 for term in energy.terms.values())


def test_what_an_encode_answers_is_what_is_trained(spec: specs.Model) -> None:
    model, (x, labels) = fresh(spec), data(spec)
    torch.testing.assert_close(model.energy(x, labels).code.detach(), model.encode(x).detach(), rtol=1e-5, atol=1e-6)


def test_a_code_does_not_depend_on_the_batch_around_it(spec: specs.Model) -> None:
    model, (x, _) = fresh(spec), data(spec)
    torch.testing.assert_close(model.encode(x[:1]), model.encode(x)[:1], rtol=1e-3, atol=1e-5)


def test_a_gradient_reaches_every_parameter(spec: specs.Model) -> None:
    model, (x, labels) = fresh(spec), data(spec)
    if isinstance(spec.encoder, specs.Recurrent) and spec.encoder.passes == 1:
        pytest.skip("one pass has no explaining-away")
    # away from the start: a unit that is off for every input learns nothing from it
    for _ in losses(model, spec, 3):
        pass
    model.zero_grad()
    model.energy(x, labels, noise=torch.Generator().manual_seed(0)).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


def test_every_parameter_has_one_rate_and_one_place_for_each_unit(spec: specs.Model) -> None:
    model = fresh(spec)
    rated = [parameter for parameter, _ in model.rates()]
    assert len(rated) == len(set(map(id, rated)))
    others = set(map(id, model.parameters())) - set(map(id, rated))
    assert others == ({id(model.connection.dictionary)} if spec.connection.update == "diagonal-hessian" else set())
    for parameter, dimension in model.per_unit():
        assert parameter.shape[dimension] == model.filters
    # a classifier of codes has a column for each unit, which may be one of many with a filter, or of pools
    by_filter = model.units == model.filters and spec.output == "code"
    counted = [value for name, value in model.named_parameters() if by_filter or not name.startswith("classifier")]
    assert {id(parameter) for parameter, _ in model.per_unit()} == set(map(id, counted))


def test_projecting_twice_is_projecting_once(spec: specs.Model) -> None:
    model = fresh(spec)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3).add_(0.1)
    model.project()
    once = {name: value.clone() for name, value in model.state_dict().items()}
    model.project()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, once[name], rtol=1e-6, atol=1e-7)


def test_a_few_steps_lower_the_loss(spec: specs.Model) -> None:
    model = fresh(spec)
    dense = isinstance(spec.connection, specs.Dense)
    before = searched(model, spec)
    values = list(losses(model, spec, 25 if dense else 12))
    if spec.sparsity.kind == "inhibition" and spec.sparsity.structure.kind == "learned":
        # its matrix climbs the same energy: the reconstruction is what is to fall
        assert all(np.isfinite(values))
        return
    if not dense and spec.encoder.kind == "recurrent" and spec.encoder.target == "exact-code":
        # a dictionary of few fields runs ahead of an encoder that learns its codes at a quarter of the rate
        assert searched(model, spec) < before
    else:
        assert np.mean(values[-5:]) < np.mean(values[:5])


def searched(model: Autoencoder, spec: specs.Model) -> float:
    """Reconstruction and sparsity of the codes that the dictionary learns from."""
    terms = model.energy(*data(spec), noise=torch.Generator().manual_seed(0)).terms
    return float(terms["reconstruction"].detach() + terms["sparsity"].detach())


def test_one_seed_gives_one_training(spec: specs.Model) -> None:
    assert list(losses(fresh(spec), spec, 3)) == list(losses(fresh(spec), spec, 3))


def test_another_seed_gives_another_one(spec: specs.Model) -> None:
    assert list(losses(fresh(spec), spec, 2)) != list(losses(fresh(spec, 1), spec, 2))


def test_a_training_goes_on_from_its_checkpoint_bit_for_bit(spec: specs.Model, tmp_path: Path) -> None:
    path, full = tmp_path / "checkpoint.safetensors", trained_by(spec)
    whole = fresh(spec)
    optimizer = adam(whole.rates())
    early = list(further_losses(whole, optimizer, spec, range(2)))
    save_checkpoint(path, whole, optimizer, Carried(), full, Place(2))
    late = list(further_losses(whole, optimizer, spec, range(2, 4)))
    again = fresh(spec, 1)  # nothing of it is to be left
    optimizer = adam(again.rates())
    assert load_checkpoint(path, again, optimizer, Carried(), full) == 2
    assert list(further_losses(again, optimizer, spec, range(2, 4))) == late
    assert early[0] != late[0]
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_a_published_model_gives_the_same_codes_and_can_be_drawn(spec: specs.Model, tmp_path: Path) -> None:
    model = fresh(spec)
    for _ in losses(model, spec, 3):
        pass
    dataset = from_arrays(images(spec), np.arange(batch_of(spec)) % CLASSES)
    preprocessor = Preprocessor.fitted(PREPROCESSING, dataset)
    findings = Findings(Evaluation({"loss": 0.0}, torch.zeros(model.filters)), 3)
    pictured = Pictured(spec, 0, shape_of(spec), preprocessor)
    write_layer(tmp_path / "bundle", model, trained_by(spec), pictured, dataset, None, findings)
    engine = Engine.load(tmp_path / "bundle")
    features = model.features(model.encode(data(spec)[0])).detach()
    np.testing.assert_allclose(engine.encode(images(spec)), features.numpy(), rtol=1e-4, atol=1e-5)
    told = json.loads((tmp_path / "bundle" / "model.json").read_text())
    assert told["units"] == model.filters
    assert told["feature_shape"] == list(model.feature_shape)
    assert math.prod(told["feature_shape"]) == features.shape[1]


def filters_of(model: Autoencoder) -> Tensor:
    """(filters, numbers of one)"""
    return model.connection.dictionary.detach().movedim(model.connection.filter_dim, 0).flatten(1)


def windows_of(x: Tensor, spec: specs.Model, size: int, padding: int) -> Tensor:
    """(batch, windows, size²) of every place that a filter may be at; a dense one is as large as the input."""
    if isinstance(spec.connection, specs.Dense):
        return x[:, None]
    edges = (padding,) * 4
    images = torch.nn.functional.pad(x.view(-1, *shape_of(spec)[:2]), edges)
    return images.unfold(1, size, 1).unfold(2, size, 1).flatten(3).flatten(1, 2)


def test_revived_units_learn_on_and_the_others_stay(spec: specs.Model) -> None:
    model, (x, _) = fresh(spec), data(spec)
    before = filters_of(model)
    chosen = torch.tensor([2, 3])
    model.revive(chosen, x[:2])
    after = filters_of(model)
    others = [number for number in range(model.filters) if number not in chosen]
    assert torch.equal(after[others], before[others])
    windows = windows_of(x[:2], spec, model.connection.dictionary.shape[-1], getattr(spec.connection, "padding", 0))
    cosines = torch.nn.functional.cosine_similarity(after[chosen][:, None], windows, dim=2)
    assert float(cosines.amax(1).min()) > 0.999
    model.project()
    assert torch.isfinite(model.energy(*data(spec)).loss)


@pytest.mark.parametrize("name", VALID)
def test_the_spec_survives_json(name: str) -> None:
    assert specs.Model.model_validate_json(VALID[name].model_dump_json()) == VALID[name]


def test_most_combinations_are_valid_and_every_part_is_in_one() -> None:
    used = {part for name in valid() for part in name.split(" · ")}
    assert used == ENCODERS.keys() | SPARSITIES.keys() | CLASSIFIERS.keys()
    assert len(valid()) > len(combined()) / 2


def test_every_part_that_works_on_images_is_in_a_combination_on_images() -> None:
    used = {part for name in valid_on_images() for part in name.split(" · ")}
    dense_alone = {"recurrent drsae", "recurrent on exact codes, drsae", "exact by coordinates"}
    encoders = ENCODERS.keys() - dense_alone
    assert used == SPATIAL.keys() | encoders | SPATIAL_SPARSITIES.keys() | CLASSIFIERS.keys() | set(OUTPUTS)
