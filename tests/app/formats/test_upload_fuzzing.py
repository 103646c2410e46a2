"""Files that were tampered with: they convert, or are refused with a status of 4xx. Nothing else ever comes out."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tampering import FILES, tampered
from upload_files import convert_here

from app.formats.inputs import decode_inputs, fit
from pinwheel.errors import PinwheelError
from pinwheel.settings import Settings

# Pillow warns of odd metadata; the pictures are read all the same.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

SERVER = Settings(max_encode_bytes=2**20)


def result_of(call: Callable[[], Any]) -> Any:
    """What `call` gives, or None where it was refused, which must be the client's fault."""
    refusal = None
    try:
        return call()
    except PinwheelError as error:
        refusal = error
    assert 400 <= refusal.status < 500
    assert refusal.detail.endswith((".", "?"))
    return None


changes = st.lists(
    st.one_of(
        st.tuples(st.just("cut"), st.floats(0, 1), st.just(0)),
        st.tuples(st.just("flip"), st.floats(0, 1), st.integers(1, 255)),
        # Most lies that matter are in the first bytes.
        st.tuples(st.just("flip"), st.floats(0, 0.15), st.integers(1, 255)),
        st.tuples(st.just("insert"), st.floats(0, 1), st.integers(0, 255)),
        st.tuples(st.just("repeat"), st.floats(0, 1), st.integers(2, 40)),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(kind=st.sampled_from(sorted(FILES)), steps=changes, skip=st.booleans())
def test_a_tampered_upload_converts_or_is_refused_as_the_clients_fault(
    kind: str, steps: list[tuple[str, float, int]], skip: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        body, on_bad_file = tampered(FILES[kind], steps), "skip" if skip else "fail"
        manifest = result_of(lambda: convert_here(Path(folder), {"body": body}, on_bad_file=on_bad_file))
        if manifest is None:
            return
        images = np.load(Path(folder) / "out" / "images.npy", allow_pickle=False)
        assert images.dtype == manifest["images"]["dtype"]
        assert manifest["images"]["variable_size"] or len(images) == manifest["images"]["count"]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(kind=st.sampled_from(sorted(FILES)), steps=changes)
def test_a_tampered_encode_body_is_read_or_refused_as_the_clients_fault(
    kind: str, steps: list[tuple[str, float, int]]
) -> None:
    body = tampered(FILES[kind], steps)
    images = result_of(lambda: fit(decode_inputs(body, "application/octet-stream", SERVER), (5, 4, 1)))
    if images is None:
        return
    assert images.shape[1:] == (5, 4, 1)
    assert np.isfinite(images).all()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["inputs", "array", "dtype"]), inner),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(value=json_values)
def test_any_json_is_read_or_refused_as_the_clients_fault(value: object) -> None:
    for asked in (value, {"inputs": value}, {"inputs": [{"array": value}]}):
        body = json.dumps(asked).encode()
        images = result_of(lambda body=body: fit(decode_inputs(body, "application/json", SERVER), (1, 1, 1)))
        if images is not None:
            assert images.shape[1:] == (1, 1, 1)
            assert np.isfinite(images).all()
