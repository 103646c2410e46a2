"""The energy, its parts and their constraints."""

import math

import pytest
import torch
from torch import Tensor

from worker.sparse.autoencoder import Autoencoder
from worker.sparse.classifier import Softmax, draw_weights
from worker.sparse.connections import Dense
from worker.sparse.connections.dense import draw_dictionary
from worker.sparse.encoders import Recurrent
from worker.sparse.encoders.recurrent import drsae_matrices
from worker.sparse.sparsity import L1

INPUTS, UNITS, CLASSES = 20, 15, 4


def model_and_data(labelled: bool = True) -> tuple[Autoencoder, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.rand(8, INPUTS, generator=generator), dim=1)
    labels = torch.randint(CLASSES, (8,), generator=generator)
    dictionary = draw_dictionary(x, UNITS, generator)
    classifier = Softmax(draw_weights(CLASSES, UNITS, generator), weight=0.2, max_norm=5) if labelled else None
    encoder = Recurrent(*drsae_matrices(dictionary, 4, 1.25), passes=4, total_step=1.25)
    return Autoencoder(Dense(dictionary), encoder, L1(0.018), classifier), x, labels


def test_the_terms_are_those_of_the_paper_and_sum_to_the_loss() -> None:
    model, x, labels = model_and_data()
    energy = model.energy(x, labels)
    code = energy.code.detach()
    reconstruction = 0.5 * (x - code @ model.connection.dictionary.t()).norm(dim=1).square().mean()
    direction = code / code.norm(dim=1, keepdim=True)
    assert model.classifier is not None
    likelihood = (direction @ model.classifier.weights.t()).log_softmax(1)[torch.arange(8), labels]
    torch.testing.assert_close(energy.terms["reconstruction"], reconstruction)
    torch.testing.assert_close(energy.terms["sparsity"], 0.018 * code.norm(p=1, dim=1).mean())
    torch.testing.assert_close(energy.terms["classification"], -0.2 * likelihood.mean())
    torch.testing.assert_close(energy.loss, sum(energy.terms.values(), torch.zeros(())))


def test_class_weight_zero_is_the_unsupervised_part() -> None:
    model, x, labels = model_and_data()
    assert model.classifier is not None
    model.classifier.weight = 0.0
    torch.testing.assert_close(model.energy(x, labels).loss, model.energy(x).loss)


def test_a_gradient_reaches_every_parameter() -> None:
    model, x, labels = model_and_data()
    model.energy(x, labels).loss.backward()
    assert {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()} == set()
    assert len(model.rates()) == len(list(model.parameters()))


def test_without_labels_the_classifier_gets_no_gradient() -> None:
    model, x, _ = model_and_data()
    model.energy(x).loss.backward()
    assert model.classifier is not None
    assert model.classifier.weights.grad is None


def test_a_few_gradient_steps_lower_the_loss() -> None:
    model, x, labels = model_and_data()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    losses = []
    for _ in range(100):
        loss = model.energy(x, labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        model.project()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_dropped_inputs_are_not_dropped_from_the_target() -> None:
    model, x, _ = model_and_data()
    energy = model.energy(x, seen=torch.zeros_like(x))
    assert not energy.code.any()
    torch.testing.assert_close(energy.terms["reconstruction"], 0.5 * x.square().sum(1).mean())


def test_hidden_units_are_hidden_from_the_classifier_alone() -> None:
    model, x, labels = model_and_data()
    hidden = model.energy(x, labels, visible=torch.zeros(8, UNITS))
    whole = model.energy(x, labels)
    assert torch.equal(hidden.reconstruction, whole.reconstruction)
    assert float(hidden.terms["classification"]) == pytest.approx(0.2 * math.log(CLASSES))


def test_a_code_of_zeros_gives_finite_gradients() -> None:
    model, x, labels = model_and_data()
    model.energy(torch.zeros_like(x), labels).loss.backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in model.parameters())


def test_projection_keeps_every_bound() -> None:
    model, _, _ = model_and_data()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(100)
    model.project()
    assert model.classifier is not None
    assert model.connection.dictionary.norm(dim=0).max() <= 1 + 1e-6
    assert model.encoder.encoder.norm(dim=1).max() <= model.encoder.max_norm * (1 + 1e-6)
    assert model.classifier.weights.norm(dim=1).max() <= 5 * (1 + 1e-6)


def test_the_first_dictionary_leans_towards_the_examples() -> None:
    generator = torch.Generator().manual_seed(1)
    example = torch.zeros(1, 100)
    example[0, :10] = 3.0
    dictionary = draw_dictionary(example, 50, generator)
    torch.testing.assert_close(dictionary.norm(dim=0), torch.ones(50))
    towards = (torch.nn.functional.normalize(example, dim=1) @ dictionary).mean()
    assert 0.1 < float(towards) < 0.5
    assert torch.isfinite(draw_dictionary(torch.zeros(3, 100), 5, generator)).all()
