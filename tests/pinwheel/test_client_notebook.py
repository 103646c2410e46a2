"""What notebooks show of the client's objects."""

import base64
import io
import re
from typing import Any

import pytest
from awaited import faced
from PIL import Image

from pinwheel.client import AsyncJob, Client
from pinwheel.client.notebook import MOST_PICTURE_BYTES, card, quietly
from pinwheel.errors import NotFound
from pinwheel.up import Service


def picture(html: str) -> Image.Image:
    found = re.search(r"src='data:image/png;base64,([^']+)'", html)
    assert found, html
    return Image.open(io.BytesIO(base64.b64decode(found[1])))


def test_data_set_job_and_model_show_their_picture_as_part_of_the_page(
    service: Service, trained: dict[str, Any]
) -> None:
    with Client(service.url) as client:
        job, model, dataset = client.job(trained["id"]), client.model("digits-36"), client.dataset("few-digits")
        for shown, words in (
            (job, (job.id, "succeeded", "drsae", "digits-36@1", "unexplained_variance")),
            (model, ("digits-36@1", "<td style='text-align:left'>36</td>", job.id)),
            (dataset, (dataset.id, "few-digits", "28 × 28 × 1", "500", "<td style='text-align:left'>10</td>")),
        ):
            html = shown._repr_html_()
            assert all(word in html for word in words), html
            assert picture(html).width >= 6 * 28
        assert all(word in client._repr_html_() for word in (service.url, "digits-36@1", "True"))


def test_an_object_that_is_awaited_shows_its_table(service: Service, trained: dict[str, Any]) -> None:
    with faced(service.url) as client:
        html = AsyncJob(client._connection, trained)._repr_html_()
    assert "succeeded" in html
    assert "<img" not in html


def test_a_server_that_is_away_is_told_and_nothing_fails() -> None:
    with Client("http://127.0.0.1:9", retries=0) as client:
        assert "does not answer" in client._repr_html_()


def test_names_cannot_become_markup() -> None:
    html = card("Data set <b>", {"name": "<script>alert(1)</script>", "none": None, "loss": 0.123456789})
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "none" not in html
    assert ">0.1235<" in html


def test_no_picture_is_no_error() -> None:
    def refused() -> bytes:
        raise NotFound("gone")

    assert quietly(refused) is None
    assert quietly(lambda: bytes(MOST_PICTURE_BYTES + 1)) is None
    with pytest.raises(KeyError):
        quietly(lambda: {}["a fault of ours"])
