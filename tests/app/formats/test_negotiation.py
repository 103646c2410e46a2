"""Which format an answer takes."""

import pytest

from app.formats.negotiate import choose
from pinwheel.errors import NotAcceptable

AVAILABLE = {"json": "application/json", "npy": "application/x-npy", "png": "image/png"}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "json"),
        ("", "json"),
        ("*/*", "json"),
        ("image/png", "png"),
        ("IMAGE/PNG", "png"),
        ("image/*", "png"),
        ("image/png;q=0.5, application/x-npy", "npy"),
        ("image/png, application/x-npy;q=0.9, */*;q=0.1", "png"),
        ("application/json;q=0, */*", "npy"),
        ("application/*;q=0.2, application/x-npy;q=0.3", "npy"),
        ("*/*;q=0.5, application/*;q=0", "png"),
        ("image/png, application/json", "json"),
        ("text/html,application/xhtml+xml,image/png;q=0.9,*/*;q=0.8", "png"),
        ("rubbish", "json"),
        ("image/png;q=high, application/x-npy", "npy"),
        ("application/x-npy; charset=x; q=1.000", "npy"),
    ],
)
def test_accept_chooses_by_quality_then_by_our_order(accept: str | None, expected: str) -> None:
    assert choose(accept, None, AVAILABLE) == expected


def test_the_query_wins_over_accept() -> None:
    assert choose("application/json", "png", AVAILABLE) == "png"


def test_an_unknown_format_is_answered_with_those_that_exist() -> None:
    with pytest.raises(NotAcceptable, match=r"format is 'gif'; there are: json, npy, png\.") as caught:
        choose("*/*", "gif", AVAILABLE)
    assert caught.value.extra["available"][2] == {"format": "png", "type": "image/png"}


@pytest.mark.parametrize("accept", ["text/html", "text/*", "*/*;q=0", "image/webp, video/*"])
def test_what_does_not_exist_is_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable, match=r"there are: application/json \(format=json\), application/x-npy"):
        choose(accept, None, AVAILABLE)


def test_a_default_put_first_is_the_default() -> None:
    assert choose(None, None, {"npz": "application/x-npz", **AVAILABLE}) == "npz"
