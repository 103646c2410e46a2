"""Whitening of whole images in the frequency domain, and back."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from worker.data.fourier import response, whitened

CUTOFF, SIGMA = 0.4, 3.0


def natural(side: int, seed: int = 0) -> Tensor:
    """(1, side, side, 1) an image whose amplitudes fall as 1 / f"""
    down, right = np.fft.fftfreq(2 * side)[:, None], np.fft.fftfreq(2 * side)
    radius = np.hypot(down, right)
    radius[0, 0] = math.inf
    noise = np.fft.fft2(np.random.default_rng(seed).standard_normal((2 * side, 2 * side)))
    image = np.real(np.fft.ifft2(noise / radius))[:side, :side]
    return torch.from_numpy(image).float()[None, ..., None]


def amplitudes(image: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Mean amplitude in rings of frequencies, cycles per pixel."""
    values = image[0, ..., 0].double().numpy()
    side = len(values)
    window = np.outer(np.hanning(side), np.hanning(side))
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)).ravel()
    power = np.abs(np.fft.fft2(window * (values - values.mean()))).ravel()
    rings = np.arange(0.05, 0.5, 0.05)
    return rings, np.array([power[(radius >= ring - 0.025) & (radius < ring + 0.025)].mean() for ring in rings])


def test_frequencies_below_the_cutoff_become_equally_strong_and_the_others_vanish() -> None:
    image = natural(128)
    rings, before = amplitudes(image)
    _, after = amplitudes(whitened(image, CUTOFF, 20.0).pixels)
    low = rings < 0.24
    assert before[low].max() / before[low].min() > 3.5
    assert after[low].max() / after[low].min() < 1.4
    assert after[-1] < 0.2 * after[low].mean()


def test_the_response_is_the_formula() -> None:
    r = response(5, 4, CUTOFF)[..., 0]
    assert r.shape == (10, 5)
    for row, column in ((0, 0), (1, 0), (9, 1), (5, 4), (3, 2)):
        f = math.hypot(min(row, 10 - row) / 10, column / 8)
        assert float(r[row, column]) == pytest.approx(f * math.exp(-((f / CUTOFF) ** 4)))


def test_local_contrast_is_one_where_it_is_not_below_the_mean() -> None:
    found = whitened(natural(64), CUTOFF, SIGMA)
    raw = found.pixels * found.deviation
    assert float(raw.std()) > 0
    least = float(torch.as_tensor(found.deviation).min())
    assert least == pytest.approx(float(torch.as_tensor(found.deviation).median()), rel=0.5)
    assert 0.6 < float(found.pixels.std()) < 1.1


def test_it_is_taken_back_below_the_cutoff() -> None:
    image = natural(64)
    down, right = np.fft.fftfreq(128)[:, None], np.fft.rfftfreq(128)
    values = image[0, ..., 0].double().numpy()
    mirrored = np.block([[values, values[:, ::-1]], [values[::-1], values[::-1, ::-1]]])
    passed = np.hypot(down, right) < 0.8 * CUTOFF
    smooth = np.fft.irfft2(np.fft.rfft2(mirrored) * passed, s=(128, 128))[:64, :64]
    found = whitened(torch.from_numpy(smooth).float()[None, ..., None], CUTOFF, SIGMA)
    back = found.undo(found.pixels)[0, ..., 0].double().numpy()
    assert np.square(back - smooth).sum() < 0.01 * np.square(smooth - smooth.mean()).sum()
    assert back.mean() == pytest.approx(smooth.mean(), abs=1e-4)


def test_an_image_is_whitened_by_itself() -> None:
    images = torch.cat([natural(24, seed) for seed in range(3)])
    together = whitened(images, CUTOFF, SIGMA).pixels
    for number in range(3):
        assert torch.equal(together[number], whitened(images[number : number + 1], CUTOFF, SIGMA).pixels[0])


@pytest.mark.parametrize("value", [0.0, 0.7, 1e6])
def test_an_even_image_becomes_zero(value: float) -> None:
    found = whitened(torch.full((1, 12, 9, 3), value), CUTOFF, SIGMA)
    assert not found.pixels.any()
    torch.testing.assert_close(found.undo(found.pixels), torch.full((1, 12, 9, 3), value))


def test_brightness_and_contrast_change_nothing() -> None:
    image = natural(32)
    torch.testing.assert_close(
        whitened(image, CUTOFF, SIGMA).pixels, whitened(40 * image + 7, CUTOFF, SIGMA).pixels, rtol=1e-3, atol=1e-3
    )


def test_colours_are_filtered_alike_and_share_a_deviation() -> None:
    gray = natural(20)
    found = whitened(gray.expand(1, 20, 20, 3).clone(), CUTOFF, SIGMA)
    alone = whitened(gray, CUTOFF, SIGMA)
    for channel in range(3):
        torch.testing.assert_close(found.pixels[..., channel], alone.pixels[..., 0], rtol=1e-4, atol=1e-5)
