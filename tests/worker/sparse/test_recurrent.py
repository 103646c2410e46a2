"""The recurrent encoder against its formula, its gradient against finite differences."""

import pytest
import torch
from torch import Tensor

from worker.sparse.connections.dense import draw_dictionary
from worker.sparse.encoders import Recurrent
from worker.sparse.encoders.recurrent import Unrolled, drsae_matrices

INPUTS, UNITS, BATCH = 12, 9, 5


def drawn(passes: int, seed: int = 0) -> tuple[Recurrent, Tensor]:
    """An encoder away from its initialisation, in float64, and inputs."""
    generator = torch.Generator().manual_seed(seed)
    parts = [
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((UNITS, INPUTS), (UNITS, UNITS), (UNITS,), (BATCH, INPUTS))
    ]
    encoder, explaining_away, bias, x = parts
    return Recurrent(encoder, 0.2 * explaining_away, 0.1 * bias, passes=passes), x


def eager(encoder: Recurrent, x: Tensor, passes: int) -> Tensor:
    """The formula, literally."""
    code = torch.zeros(len(x), UNITS, dtype=x.dtype)
    for _ in range(passes):
        code = torch.relu(x @ encoder.encoder.t() + code + code @ encoder.explaining_away.t() - encoder.bias)
    return code


@pytest.mark.parametrize("passes", [1, 2, 11])
def test_the_code_and_every_gradient_equal_those_of_the_eager_form(passes: int) -> None:
    encoder, x = drawn(passes)
    x.requires_grad_()
    wanted = [x, *encoder.parameters()]
    mix = torch.randn(BATCH, UNITS, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ours, literal = encoder.predict(x), eager(encoder, x, passes)
    assert (ours > 0).any()
    torch.testing.assert_close(ours, literal, rtol=1e-12, atol=1e-12)
    ours_gradients = torch.autograd.grad((ours * mix).sum(), wanted)
    # with one pass the explaining-away matrix is not used
    literal_gradients = torch.autograd.grad((literal * mix).sum(), wanted, materialize_grads=True)
    for a, b in zip(ours_gradients, literal_gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("passes", [1, 2, 5])
def test_the_gradient_of_the_unrolled_passes_is_that_of_finite_differences(passes: int) -> None:
    generator = torch.Generator().manual_seed(2)
    drive = torch.randn(4, 6, dtype=torch.float64, generator=generator, requires_grad=True)
    matrix = (0.3 * torch.randn(6, 6, dtype=torch.float64, generator=generator)).requires_grad_()
    assert torch.autograd.gradcheck(lambda u, s: Unrolled.apply(u, s, passes), (drive, matrix))


@pytest.mark.parametrize("signed", [False, True])
def test_progress_is_the_code_after_each_number_of_passes(signed: bool) -> None:
    encoder, x = drawn(4)
    encoder.signed = signed
    with torch.no_grad():
        codes = encoder.progress(x)
        assert codes.shape == (4, BATCH, UNITS)
        for number, code in enumerate(codes):
            torch.testing.assert_close(code, encoder.predict(x, number + 1), rtol=1e-12, atol=1e-12)


def test_without_gradients_the_code_is_the_same() -> None:
    encoder, x = drawn(7)
    with torch.no_grad():
        without = encoder.predict(x)
    torch.testing.assert_close(without, encoder.predict(x).detach(), rtol=1e-12, atol=1e-12)


def test_passes_can_be_replaced_at_inference() -> None:
    encoder, x = drawn(3)
    with torch.no_grad():
        torch.testing.assert_close(encoder.predict(x, 8), eager(encoder, x, 8), rtol=1e-12, atol=1e-12)
        assert not torch.allclose(encoder.predict(x, 8), encoder.predict(x))


def test_an_untrained_encoder_takes_proximal_gradient_steps_on_the_sparse_coding_energy() -> None:
    generator = torch.Generator().manual_seed(3)
    examples = torch.rand(30, INPUTS, generator=generator, dtype=torch.float64)
    dictionary = draw_dictionary(examples, UNITS, generator)
    passes, total_step = 11, 1.25
    step = total_step / passes
    encoder = Recurrent(*drsae_matrices(dictionary, passes, total_step), passes=passes, total_step=total_step)
    x, z = examples[:BATCH], torch.zeros(BATCH, UNITS, dtype=torch.float64)
    for _ in range(passes):
        z = (z - step * (z @ dictionary.t() - x) @ dictionary - 1e-5).clamp_min(0)
    torch.testing.assert_close(encoder.predict(x).detach(), z, rtol=1e-12, atol=1e-12)


def test_projection_bounds_the_rows_and_leaves_short_ones_alone() -> None:
    encoder, _ = drawn(11)
    with torch.no_grad():
        encoder.encoder[0] *= 1e-3
    before = encoder.encoder.detach().clone()
    encoder.project()
    lengths = encoder.encoder.detach().norm(dim=1)
    assert encoder.max_norm == pytest.approx(1.25 / 10)
    assert lengths.max() <= encoder.max_norm * (1 + 1e-12)
    assert torch.equal(encoder.encoder[0], before[0])
    once = encoder.encoder.detach().clone()
    encoder.project()
    torch.testing.assert_close(encoder.encoder.detach(), once, rtol=1e-14, atol=0)


def test_one_pass_has_a_bound_too() -> None:
    encoder, _ = drawn(1)
    assert encoder.max_norm == 1.25
