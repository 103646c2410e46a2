"""Preferences are read as RFC 7240 writes them; what cannot be read is passed over."""

import pytest

from app.prefer import LONGEST_WAIT, Preference


@pytest.mark.parametrize(
    ("headers", "respond_async", "wait"),
    [
        ([], False, None),
        (["respond-async"], True, None),
        (["Respond-Async, wait=10"], True, 10),
        (["respond-async", "wait=10"], True, 10),
        (['wait="7"'], False, 7),
        (["wait = 3 ; foo=bar, respond-async"], True, 3),
        (["wait=10, wait=20"], False, 10),
        (["wait=99999999"], False, LONGEST_WAIT),
        (["wait=0"], False, 0),
        (["wait=-1"], False, None),
        (["wait=1e9"], False, None),
        (["wait=" + "9" * 5000], False, None),
        (["wait"], False, None),
        (["wait=1.5, respond-async=x"], True, None),
        (["handling=lenient, return=minimal"], False, None),
        (["respond-asyncs, \x00, ,;,=="], False, None),
    ],
)
def test_preferences(headers: list[str], respond_async: bool, wait: float | None) -> None:
    assert Preference.of(headers) == Preference(respond_async, wait)
