"""ZCA: what it makes of the covariance, and its inverse."""

import pytest
import torch

from worker.data import zca


def correlated(count: int = 4000, inputs: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(inputs, inputs, generator=generator)
    return torch.randn(count, inputs, generator=generator) @ mixing + torch.randn(inputs, generator=generator)


def test_whitened_inputs_have_mean_zero_and_unit_covariance() -> None:
    x = correlated()
    white = zca.fitted([x], 12, 1e-7).apply(x).double()
    torch.testing.assert_close(white.mean(0), torch.zeros(12, dtype=torch.float64), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        torch.cov(white.t(), correction=0), torch.eye(12, dtype=torch.float64), atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("epsilon", [1e-6, 0.01, 10.0])
def test_it_undoes_itself(epsilon: float) -> None:
    x = correlated()
    fitted = zca.fitted([x], 12, epsilon)
    torch.testing.assert_close(fitted.undo(fitted.apply(x)), x, atol=1e-3, rtol=0)


def test_the_matrix_is_symmetric_and_leaves_white_inputs_nearly_as_they_are() -> None:
    x = torch.randn(200_000, 5, generator=torch.Generator().manual_seed(1))
    fitted = zca.fitted([x], 5, 1e-6)
    torch.testing.assert_close(fitted.whitening, fitted.whitening.t())
    torch.testing.assert_close(fitted.whitening, torch.eye(5), atol=0.02, rtol=0)


def test_it_does_not_matter_how_the_inputs_are_cut_into_batches() -> None:
    x = correlated()
    whole, parts = zca.fitted([x], 12, 0.01), zca.fitted(x.split(333), 12, 0.01)
    torch.testing.assert_close(parts.whitening, whole.whitening, atol=1e-6, rtol=1e-6)


def test_directions_without_variance_are_not_blown_up() -> None:
    x = correlated()
    x[:, 3] = 0.5
    fitted = zca.fitted([x], 12, 0.01)
    mean_variance = float(torch.cov(x.double().t()).diag().mean())
    assert float(torch.linalg.matrix_norm(fitted.whitening, 2)) <= (0.01 * mean_variance) ** -0.5 * 1.001
    assert torch.isfinite(fitted.apply(x)).all()


def test_what_cannot_be_whitened_is_refused_with_its_numbers() -> None:
    with pytest.raises(ValueError, match="the 7 training inputs are all equal"):
        zca.fitted([torch.zeros(7, 3)], 3, 0.01)
    with pytest.raises(ValueError, match="5000 values; whiten 'zca' takes at most 4096"):
        zca.fitted([torch.zeros(1, 5000)], 5000, 0.01)
