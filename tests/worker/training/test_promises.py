"""What every valid combination of parts keeps, whatever the parts are."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from model_parts import CLASSES, CLASSIFIERS, ENCODERS, INPUTS_SHAPE, SPARSITIES, UNITS, combined, valid
from torch import Tensor

from pinwheel import specs
from worker.data.preprocess import Preprocessor
from worker.data.reader import from_arrays
from worker.encoding.engine import Engine
from worker.sparse.autoencoder import Autoencoder
from worker.training.build import fresh_model
from worker.training.evaluate import Evaluation
from worker.training.prepare import adam
from worker.training.publish import Findings, write_bundle

VALID = valid()
PREPROCESSING = specs.Preprocessing(scale="unit-norm")
BATCH = 40


@pytest.fixture(params=VALID, scope="module")
def spec(request: pytest.FixtureRequest) -> specs.Model:
    return VALID[request.param]


def images() -> np.ndarray:
    draw = np.random.default_rng(0)
    parts = draw.random((6, *INPUTS_SHAPE), np.float32)
    return np.einsum("nk,khwc->nhwc", draw.random((BATCH, 6), np.float32) ** 3, parts)


def data() -> tuple[Tensor, Tensor]:
    x = torch.nn.functional.normalize(torch.from_numpy(images()).flatten(1), dim=1)
    return x, torch.arange(BATCH) % CLASSES


def fresh(spec: specs.Model, seed: int = 0) -> Autoencoder:
    return fresh_model(spec, data()[0], CLASSES, seed)


def losses(model: Autoencoder, spec: specs.Model, steps: int) -> Iterator[float]:
    """Train on one batch; the loss before every step and after the last."""
    x, labels = data()
    optimizer = adam(model)
    for group in optimizer.param_groups:
        group["lr"] = 2e-3 * group["multiplier"]
    for step in range(steps):
        noise = torch.Generator().manual_seed(step)
        energy = model.energy(x, labels, noise=noise)
        yield float(energy.loss.detach())
        model.zero_grad(set_to_none=True)
        energy.loss.backward()
        optimizer.step()
        model.learn(energy)
        model.project()
    yield float(model.energy(x, labels, noise=torch.Generator().manual_seed(steps)).loss.detach())


def test_codes_and_reconstructions_have_their_shapes(spec: specs.Model) -> None:
    model, (x, labels) = fresh(spec), data()
    energy = model.energy(x, labels)
    assert energy.code.shape == energy.decoded.shape == (BATCH, UNITS)
    assert energy.reconstruction.shape == x.shape
    assert model.encode(x).shape == (BATCH, UNITS)
    assert model.energies(x, model.encode(x)).shape == (BATCH,)
    assert (energy.logits is None) == (spec.classifier.kind == "none")


def test_the_terms_sum_to_the_loss_and_none_is_negative(spec: specs.Model) -> None:
    energy = fresh(spec).energy(*data())
    torch.testing.assert_close(energy.loss, torch.stack(list(energy.terms.values())).sum())
    assert all(float(term.detach()) >= 0 for term in energy.terms.values())


def test_what_an_encode_answers_is_what_is_trained(spec: specs.Model) -> None:
    model, (x, labels) = fresh(spec), data()
    torch.testing.assert_close(model.energy(x, labels).code.detach(), model.encode(x).detach(), rtol=1e-5, atol=1e-6)


def test_a_code_does_not_depend_on_the_batch_around_it(spec: specs.Model) -> None:
    model, (x, _) = fresh(spec), data()
    torch.testing.assert_close(model.encode(x[:1]), model.encode(x)[:1], rtol=1e-3, atol=1e-5)


def test_a_gradient_reaches_every_parameter(spec: specs.Model) -> None:
    model, (x, labels) = fresh(spec), data()
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
        assert parameter.shape[dimension] == UNITS
    assert {id(parameter) for parameter, _ in model.per_unit()} == set(map(id, model.parameters()))


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
    values = list(losses(fresh(spec), spec, 25))
    if spec.sparsity.kind == "inhibition" and spec.sparsity.structure.kind == "learned":
        # its matrix climbs the same energy: the reconstruction is what is to fall
        assert all(np.isfinite(values))
        return
    assert np.mean(values[-5:]) < np.mean(values[:5])


def test_one_seed_gives_one_training(spec: specs.Model) -> None:
    assert list(losses(fresh(spec), spec, 3)) == list(losses(fresh(spec), spec, 3))


def test_another_seed_gives_another_one(spec: specs.Model) -> None:
    assert list(losses(fresh(spec), spec, 2)) != list(losses(fresh(spec, 1), spec, 2))


def test_a_published_model_gives_the_same_codes_and_can_be_drawn(spec: specs.Model, tmp_path: Path) -> None:
    model = fresh(spec)
    for _ in losses(model, spec, 3):
        pass
    full = specs.TrainSpec(
        preprocessing=PREPROCESSING, model=spec, training=specs.Training(), resources=specs.Resources()
    )
    dataset = from_arrays(images(), np.arange(BATCH) % CLASSES)
    preprocessor = Preprocessor.fitted(PREPROCESSING, dataset)
    findings = Findings(Evaluation({"loss": 0.0}, torch.zeros(UNITS)), 3)
    write_bundle(tmp_path / "bundle", model, full, dataset, preprocessor, findings)
    engine = Engine.load(tmp_path / "bundle")
    np.testing.assert_allclose(engine.encode(images()), model.encode(data()[0]).detach().numpy(), rtol=1e-4, atol=1e-5)
    assert json.loads((tmp_path / "bundle" / "model.json").read_text())["units"] == UNITS


def test_revived_units_learn_on_and_the_others_stay(spec: specs.Model) -> None:
    model, (x, _) = fresh(spec), data()
    before = model.connection.dictionary.detach().clone()
    units = torch.tensor([2, 5])
    model.revive(units, x[:2])
    others = [unit for unit in range(UNITS) if unit not in units]
    assert torch.equal(model.connection.dictionary[:, others], before[:, others])
    cosine = torch.nn.functional.cosine_similarity(model.connection.dictionary[:, units].t(), x[:2])
    assert float(cosine.detach().min()) > 0.999
    model.project()
    assert torch.isfinite(model.energy(*data()).loss)


@pytest.mark.parametrize("name", VALID)
def test_the_spec_survives_json(name: str) -> None:
    assert specs.Model.model_validate_json(VALID[name].model_dump_json()) == VALID[name]


def test_most_combinations_are_valid_and_every_part_is_in_one() -> None:
    used = {part for name in VALID for part in name.split(" · ")}
    assert used == ENCODERS.keys() | SPARSITIES.keys() | CLASSIFIERS.keys()
    assert len(VALID) > len(combined()) / 2
