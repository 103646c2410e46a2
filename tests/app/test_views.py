"""Records as the API and the pages show them."""

from typing import Any

from app.views import model_view

RECORD: dict[str, Any] = {"name": "m", "version": 2, "job": "job_1", "units": 8, "format": "pinwheel/1", "metrics": {}}


def test_a_model_tells_the_shape_of_what_it_answers() -> None:
    assert model_view(RECORD | {"feature_shape": [4, 5, 8]})["feature_shape"] == [4, 5, 8]
    assert model_view(RECORD)["feature_shape"] == [8], "a record from before there was one"
