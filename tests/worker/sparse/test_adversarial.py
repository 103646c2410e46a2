"""Inputs that are moved to where their labels are harder to tell."""

import torch
from torch import Tensor, nn

from worker.sparse.adversarial import held, moved
from worker.sparse.autoencoder import Autoencoder
from worker.sparse.classifier import Softmax, draw_weights
from worker.sparse.connections import Dense
from worker.sparse.connections.dense import draw_dictionary
from worker.sparse.encoders import Recurrent
from worker.sparse.encoders.recurrent import drsae_matrices
from worker.sparse.sparsity import L1


def drsae(inputs: int = 12, units: int = 20) -> Autoencoder:
    generator = torch.Generator().manual_seed(0)
    dictionary = draw_dictionary(torch.rand(units, inputs, generator=generator), units, generator)
    encoder = Recurrent(*drsae_matrices(dictionary, 4, 1.25), passes=4)
    return Autoencoder(Dense(dictionary), encoder, L1(0.01), Softmax(draw_weights(3, units, generator))).double()


def classification(model: Autoencoder, x: Tensor, labels: Tensor, visible: Tensor | None = None) -> Tensor:
    return model.energy(x, labels, visible=visible).terms["classification"]


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(8, 12, generator=generator, dtype=torch.float64), torch.arange(8) % 3


def test_each_input_goes_its_distance_and_its_label_is_harder_to_tell() -> None:
    model, (x, labels) = drsae(), batch()
    distances = torch.linspace(0, 0.3, 8, dtype=torch.float64)[:, None]
    found = model.adversarial(x, labels, distances)
    assert torch.allclose((found - x).norm(dim=1, keepdim=True), distances, atol=1e-12)
    for i in range(1, 8):
        one = slice(i, i + 1)
        assert classification(model, found[one], labels[one]) > classification(model, x[one], labels[one])


def test_the_direction_is_the_slope_of_the_classification_by_finite_differences() -> None:
    model, (x, labels) = drsae(), batch()
    visible = (torch.arange(20, dtype=torch.float64) % 4 > 0).float().double().expand(8, -1)
    direction = model.adversarial(x, labels, torch.ones(8, 1, dtype=torch.float64), visible) - x
    step, slope = 1e-6, torch.zeros_like(x)
    for i in range(x.shape[1]):
        shift = torch.zeros_like(x)
        shift[:, i] = step
        for row in range(len(x)):
            one = slice(row, row + 1)
            up, down = (classification(model, (x + sign * shift)[one], labels[one], visible[one]) for sign in (1, -1))
            slope[row, i] = (up - down).item() / (2 * step)
    assert torch.allclose(direction, nn.functional.normalize(slope, dim=1), atol=1e-6)


def test_an_input_on_a_plateau_stays() -> None:
    x = torch.rand(3, 4)
    found = moved(x, torch.ones(3, 1), nn.Identity(), lambda at: (at * torch.tensor([[0.0], [1.0], [0.0]])).sum())
    assert torch.equal(found[[0, 2]], x[[0, 2]])
    assert not torch.equal(found[1], x[1])


def test_where_codes_have_no_gradient_nothing_moves() -> None:
    x = torch.rand(3, 4)
    assert moved(x, torch.ones(3, 1), nn.Identity(), lambda at: at.detach().sum()) is x


def test_parameters_are_held_and_learn_again() -> None:
    model, (x, labels) = drsae(), batch()
    model.connection.dictionary.requires_grad_(False)
    with held(model):
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert [name for name, p in model.named_parameters() if not p.requires_grad] == ["connection.dictionary"]
    model.adversarial(x, labels, torch.ones(8, 1, dtype=torch.float64))
    assert all(parameter.grad is None for parameter in model.parameters())
