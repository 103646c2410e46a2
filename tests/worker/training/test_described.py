"""A model whose units cannot be described is published all the same."""

import json
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training_cases import MakePlan

import worker.training.findings
from worker.training.loop import train


def test_a_model_whose_units_cannot_be_described_has_the_same_weights(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_plan()
    train(whole, lambda _: None, lambda: None)

    def broken(*_: Any) -> Any:
        raise torch.OutOfMemoryError("no memory left for this")

    for name in ("part_units", "coactivation", "moved"):
        monkeypatch.setattr(worker.training.findings, name, broken)
    plain = make_plan()
    last = train(plain, lambda _: None, lambda: None)
    ours, theirs = plain.out / last["bundle"], whole.out / "bundles" / "1"
    assert (ours / "weights.safetensors").read_bytes() == (theirs / "weights.safetensors").read_bytes()
    assert "coactivation" not in load_file(ours / "units.safetensors")
    assert json.loads((ours / "model.json").read_text())["invariance"] is None
