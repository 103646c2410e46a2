"""Training and encoding from a script, without a queue."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training_cases import stripes

from worker.__main__ import main, nested, resolved


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    data = stripes(120)
    np.savez(tmp_path / "stripes.npz", images=data.images, labels=data.labels)
    return tmp_path / "stripes.npz"


def test_a_model_is_trained_and_encodes(npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["model.connection.units=12", "training.epochs=2", "training.batch_size=20", "model.encoder.passes=3"]
    options = [option for setting in settings for option in ("--set", setting)]
    assert main(["train", "--data", str(npz), "--split", "0.2", *options, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "step 10  epoch 2.00  loss " in printed
    features = tmp_path / "features.npy"
    arguments = ["--model", str(tmp_path / "out/bundles/1"), "--data", str(npz), "--out", str(features)]
    assert main(["encode", *arguments]) == 0
    code = np.load(features)
    assert code.shape == (120, 12)
    assert code.min() >= 0
    assert code.max() > 0


def test_layers_are_put_on_a_model(npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def trained(units: int, out: str, *more: str) -> Path:
        settings = [f"model.connection.units={units}", "training.epochs=1", "model.encoder.passes=3"]
        options = [option for setting in settings for option in ("--set", setting)]
        assert main(["train", "--data", str(npz), *options, "--out", str(tmp_path / out), *more]) == 0
        return tmp_path / out / "bundles/1"

    below = trained(12, "below")
    above = trained(5, "above", "--on-top-of", str(below))
    assert '"step": 2' in capsys.readouterr().out
    for model, layer, units in ((below, [], 12), (above, ["--layer", "0"], 12), (above, [], 5)):
        features = tmp_path / "features.npy"
        assert main(["encode", "--model", str(model), "--data", str(npz), "--out", str(features), *layer]) == 0
        assert np.load(features).shape == (120, units)


def test_what_is_wrong_is_said_in_one_line(npz: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["train", "--data", str(npz), "--out", str(tmp_path / "out")]
    assert main([*base, "--recipe", "nothing"]) == 1
    assert "There is no recipe 'nothing'" in capsys.readouterr().err
    assert main([*base, "--set", "model.connection.unit=3"]) == 1
    assert "unit" in capsys.readouterr().err


def test_settings_are_laid_over_the_recipe() -> None:
    assert nested("a.b=1") == {"a": {"b": 1}}
    assert nested("a=constant") == {"a": "constant"}
    spec = resolved("drsae", ["training.schedule=constant", "model.connection.units=7"])
    assert (spec.training.schedule, spec.model.connection.units, spec.model.encoder.passes) == ("constant", 7, 11)
    stacked = resolved("stacked", ["training.epochs=3", "stages.1.model.connection.units=9"])
    assert [stage.training.epochs for stage in stacked.stages] == [3, 3]
    assert [stage.model.connection.units for stage in stacked.stages] == [32, 9]
    with pytest.raises(ValueError, match="no stage '2'; there are 0 to 1"):
        resolved("stacked", ["stages.2.training.epochs=1"])
    with pytest.raises(ValueError, match="is not NAME=VALUE"):
        nested("units")


def test_the_core_loads_no_queue_no_store_and_no_server() -> None:
    code = (
        "import sys, worker.__main__, worker.trainer, worker.training.loop, worker.encoding.engine\n"
        "print([m for m in ('celery', 'redis', 'fastapi', 'pinwheel.store', 'PIL', 'scipy') if m in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
