"""Gradients against finite differences in float64, away from the kinks of the norms."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from worker.sparse.autoencoder import Autoencoder
from worker.sparse.classifier import Softmax
from worker.sparse.connections import Dense
from worker.sparse.encoders import Exact, Recurrent, Settings
from worker.sparse.encoders.recurrent import ista_matrices
from worker.sparse.sparsity import L1, Inhibition, Noise, Penalty, Pools
from worker.sparse.sparsity.pools import gaussian_profile, ring_pools, torus_pools

from .cases import INPUTS, NORMS, UNITS, drawn, problem


def smoothed(smoothing: float, profile: str) -> Pools:
    weights = gaussian_profile(2, 0.8, 2).double() if profile == "gaussian" else None
    return Pools(torus_pools(3, 4, 2, 1), UNITS, profile=weights, weight=0.7, smoothing=smoothing)


def inhibiting() -> Inhibition:
    matrix = drawn(50, UNITS, UNITS).abs().fill_diagonal_(0)
    return Inhibition(matrix + matrix.t(), 0.7)


def noisy() -> Noise:
    return Noise(0.3 * drawn(51, UNITS, INPUTS), drawn(52, UNITS), 0.7)


PENALTIES: dict[str, Callable[[], Penalty]] = {
    **{name: partial(case.part, 0.7) for name, case in NORMS.items()},
    "torus": lambda: smoothed(1e-3, "flat"),
    "gaussian torus": lambda: smoothed(1e-3, "gaussian"),
    "ring": lambda: Pools(ring_pools(UNITS, 4, 2), UNITS, weight=0.7, smoothing=1e-3),
    "inhibition": inhibiting,
    "noise": noisy,
}


@pytest.mark.parametrize("name", PENALTIES)
def test_the_gradient_of_every_penalty_is_that_of_finite_differences(name: str) -> None:
    part, x = PENALTIES[name](), problem(53)[0]
    code = drawn(54, len(x), UNITS)
    code = (code + 0.1 * code.sign()).requires_grad_()  # none near zero
    assert gradcheck(lambda z: part.penalty(z, x), (code,))
    assert gradcheck(lambda z: part.energies(z, x), (code,))


@pytest.mark.parametrize("name", ["torus", "gaussian torus", "ring"])
def test_smoothed_pools_are_differentiable_at_zero(name: str) -> None:
    code = drawn(55, 3, UNITS)
    code[0] = 0
    code[1, :8] = 0
    assert gradcheck(PENALTIES[name]().penalty, (code.requires_grad_(),))


@pytest.mark.parametrize("name", PENALTIES)
def test_the_gradient_at_a_code_of_zeros_is_zero(name: str) -> None:
    """A subgradient of every norm, and the one that leaves silent units alone."""
    code = torch.zeros(3, UNITS, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(PENALTIES[name]().penalty(code, problem(53)[0]), code)
    assert not gradient.any()


class _Penalty(torch.nn.Module):
    """A part called for its penalty, with other parameters than its own."""

    def __init__(self, part: Penalty) -> None:
        super().__init__()
        self.part = part

    def forward(self, code: Tensor, x: Tensor) -> Tensor:
        return self.part.penalty(code, x)


def test_the_gradient_of_the_noise_reaches_its_parameters_and_the_input() -> None:
    x, code = problem(56)[0].requires_grad_(), drawn(57, 3, UNITS)

    def penalty(spread: Tensor, bias: Tensor, at: Tensor) -> Tensor:
        drawn_apart = {"part.spread": spread, "part.bias": bias}
        found: Tensor = torch.func.functional_call(_Penalty(noisy()), drawn_apart, (code, at))
        return found

    first = noisy()
    assert gradcheck(penalty, (first.spread, first.bias, x))


def test_the_noise_is_paid_by_its_divergence_from_a_standard_normal() -> None:
    """KL(N(z, σ²) ‖ N(0, 1)) as torch.distributions has it."""
    part, x = noisy(), problem(58)[0]
    code = drawn(59, len(x), UNITS)
    deviation = (0.5 * part.log_variance(x)).exp()
    normal = torch.distributions.Normal
    divergence = torch.distributions.kl_divergence(normal(code, deviation), normal(torch.zeros_like(code), 1.0))
    torch.testing.assert_close(part.energies(code, x), 0.7 * divergence.sum(1))


def test_the_gradient_of_the_classification_term_is_that_of_finite_differences() -> None:
    classifier = Softmax(drawn(60, 4, UNITS), weight=0.2)
    labels = torch.tensor([0, 3, 1])
    code = drawn(61, 3, UNITS).requires_grad_()
    assert gradcheck(lambda z: classifier.penalty(classifier.logits(z), labels), (code,))


def differences(value: Callable[[], Tensor], parameter: Tensor, step: float = 1e-6) -> Tensor:
    """Central differences of a scalar in every entry of a parameter."""
    found = torch.empty_like(parameter)
    with torch.no_grad():
        for place in range(parameter.numel()):
            entry, at = parameter.view(-1)[place : place + 1], found.view(-1)[place : place + 1]
            kept = entry.clone()
            entry.copy_(kept + step)
            above = value()
            entry.copy_(kept - step)
            at.copy_((above - value()) / (2 * step))
            entry.copy_(kept)
    return found


@pytest.mark.parametrize("passes", [1, 2, 7])
@pytest.mark.parametrize("signed", [False, True], ids=["nonnegative", "signed"])
def test_the_gradient_of_the_unrolled_encoder_is_that_of_finite_differences(signed: bool, passes: int) -> None:
    x, dictionary = problem(62)
    first, explaining_away, bias = ista_matrices(dictionary, 0.5)
    encoder = Recurrent(
        first + 0.1 * drawn(63, UNITS, INPUTS),
        explaining_away + 0.03 * drawn(64, UNITS, UNITS),
        bias + 0.05 * drawn(65, UNITS).abs(),
        passes=passes,
        signed=signed,
    )
    mix = drawn(66, len(x), UNITS)
    code = encoder.predict(x)
    assert (code == 0).any()
    assert (code != 0).any()
    assert (code < 0).any() == signed
    names, parameters = zip(*encoder.named_parameters(), strict=True)
    gradients = torch.autograd.grad((code * mix).sum(), parameters, materialize_grads=True)
    for name, parameter, gradient in zip(names, parameters, gradients, strict=True):
        expected = differences(lambda: (encoder.predict(x) * mix).sum(), parameter.data)
        torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-8, msg=name)


@pytest.mark.parametrize("sign", ["signed", "nonnegative"])
@pytest.mark.parametrize("name", ["l1", "pools of 3", "binary l2"])
def test_the_gradient_at_the_exact_code_is_that_of_the_least_energy(name: str, sign: str) -> None:
    """With z at its minimum, how z moves with the dictionary does not matter: d/dD min_z E(x, z) = ∂E/∂D at z*."""
    x, dictionary = problem(67)
    settings = Settings(sign=sign, max_iterations=250, tolerance=0)
    model = Autoencoder(Dense(dictionary), Exact(settings), NORMS[name].part(0.5))
    given = model.connection.dictionary
    (gradient,) = torch.autograd.grad(model.energy(x).loss, given)
    for seed in range(2):
        direction = drawn(seed, *given.shape)
        least = []
        for step in (1e-6, -1e-6):
            shifted = Autoencoder(Dense(dictionary + step * direction), Exact(settings), NORMS[name].part(0.5))
            least.append(float(shifted.energy(x).loss.detach()))
        assert float((gradient * direction).sum()) == pytest.approx((least[0] - least[1]) / 2e-6, rel=1e-5)


def test_the_gradient_of_l1_is_the_sign() -> None:
    code = drawn(68, 3, UNITS).requires_grad_()
    (gradient,) = torch.autograd.grad(L1(0.7).penalty(code), code)
    torch.testing.assert_close(gradient, 0.7 * code.detach().sign() / 3)
