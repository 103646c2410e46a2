"""Plans for small trainings on real files."""

from pathlib import Path
from typing import Any

import pytest
import torch
from training_cases import MakePlan, small_spec, stripes

from pinwheel.specs import TrainSpec
from worker.data.store import write_dataset
from worker.training.plan import Plan


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def make_plan(tmp_path: Path) -> MakePlan:
    """Plans on 300 stripes (10 steps an epoch, the last of 12 inputs), each with a job folder of its own."""
    write_dataset(stripes(300), tmp_path / "data")
    made = 0

    def make(spec: dict[str, Any] | TrainSpec | None = None, **fields: Any) -> Plan:
        nonlocal made
        made += 1
        defaults = {"dataset": tmp_path / "data", "out": tmp_path / f"job{made}", "threads": 1}
        full = spec if isinstance(spec, TrainSpec) else small_spec(**(spec or {}))
        return Plan(spec=full, **{**defaults, **fields})

    return make
