"""Rows of an encoder tied to the columns of the dictionary."""

import pytest
import torch

from worker.sparse.autoencoder import Autoencoder
from worker.sparse.connections import Connection, Conv, Dense
from worker.sparse.encoders import Recurrent, RecurrentFields
from worker.sparse.encoders.tied import tie_rows_
from worker.sparse.measures import angles
from worker.sparse.sparsity import L1


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(
    "connection", [Dense(random(12, 5)), Conv(random(5, 2, 3, 3), (6, 6, 2))], ids=["dense", "conv"]
)
def test_a_tied_row_is_the_projection_on_its_column(connection: Connection) -> None:
    directions = torch.nn.functional.normalize(connection.first_encoder().flatten(1), dim=1)
    encoder = random(*connection.first_encoder().shape, seed=1)
    encoder[0] = connection.first_encoder()[0] * 0.3
    encoder[1] = -connection.first_encoder()[1]
    rows = encoder.flatten(1)
    expected = torch.einsum("ui,ui->u", rows, directions).clamp_min(0)
    tie_rows_(encoder, connection)
    torch.testing.assert_close(encoder.flatten(1), expected[:, None] * directions)
    torch.testing.assert_close(encoder[0], connection.first_encoder()[0] * 0.3)
    assert not encoder[1].any()  # what would have to look for the opposite looks for nothing
    again = encoder.clone()
    tie_rows_(again, connection)
    torch.testing.assert_close(again, encoder)


@pytest.mark.parametrize("tied", [False, True])
def test_only_a_tied_encoder_is_tied_and_only_where_labels_take_no_part(tied: bool) -> None:
    dictionary = torch.nn.functional.normalize(random(12, 5), dim=0)
    encoder = Recurrent(0.01 * random(5, 12, seed=1).abs(), 0.1 * random(5, 5), random(5).abs(), tied=tied)
    model = Autoencoder(Dense(dictionary.abs()), encoder, L1(0.1))
    before = encoder.encoder.detach().clone()
    model.project(labelled=True)
    torch.testing.assert_close(encoder.encoder.detach(), before)
    model.project(labelled=False)
    turned = angles(encoder.encoder.detach(), model.connection.dictionary.detach().t())
    assert (turned.max() < 1e-6) == tied
    assert torch.equal(encoder.encoder.detach(), before) != tied


def test_the_fields_of_an_encoder_on_images_are_tied_to_those_of_the_dictionary() -> None:
    filters = random(3, 1, 3, 3).abs()
    told = {"passes": 2, "total_step": None, "signed": False, "rate_multiplier": 1.0, "bias_rate_multiplier": 1.0}
    encoder = RecurrentFields(random(3, 1, 3, 3, seed=2).abs(), filters, random(3).abs(), tied=True, **told)
    model = Autoencoder(Conv(filters, (6, 6, 1)), encoder, L1(0.1))
    model.project(labelled=False)
    rows, columns = encoder.encoder.detach().flatten(1), model.connection.dictionary.detach().flatten(1)
    assert angles(rows, columns).max() < 1e-6
