"""Records as the API and the pages show them."""

from types import SimpleNamespace
from typing import Any

import pytest

from app.routes.pages import templates
from app.views import model_view

RECORD: dict[str, Any] = {"name": "m", "version": 2, "job": "job_1", "units": 8, "format": "pinwheel/1", "metrics": {}}


def test_a_model_tells_the_shape_of_what_it_answers() -> None:
    assert model_view(RECORD | {"feature_shape": [4, 5, 8]})["feature_shape"] == [4, 5, 8]
    assert model_view(RECORD)["feature_shape"] == [8], "a record from before there was one"


@pytest.mark.parametrize(
    ("shape", "told"), [([8], "8 units"), ([4, 5, 8], "8 filters, 4 × 5 × 8 features"), ([6], "8 filters, 6 features")]
)
def test_the_wall_tells_what_a_model_answers(shape: list[int], told: str) -> None:
    model = model_view(RECORD | {"feature_shape": shape})
    page = templates.get_template("front.html").render(
        request=SimpleNamespace(base_url="http://127.0.0.1/"), jobs=[], models=[model]
    )
    assert f'<span class="detail">{told}</span>' in page
