"""A damaged checkpoint is noticed, and the one before is used."""

from pathlib import Path

import pytest
import torch

from pinwheel.checkpoints import usable_checkpoints
from pinwheel.seal import BLANK, SEAL, intact, seal
from worker.data.files import read_tensors, write_tensors


def checkpoint(folder: Path, name: str) -> Path:
    path = folder / "checkpoints" / f"{name}.safetensors"
    tensors = {"dictionary": torch.arange(300.0).reshape(20, 15), "age": torch.zeros(4, dtype=torch.int64)}
    write_tensors(path, tensors, {"format": "x", "notes": "{}", SEAL: BLANK}, finish=seal)
    return path


def names(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths]


def test_a_sealed_file_is_an_ordinary_one_with_its_digest(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "1-000000005")
    metadata, tensors = read_tensors(path)
    assert intact(path)
    assert metadata[SEAL] != BLANK
    assert tensors["dictionary"][19, 14] == 299


def test_a_single_flipped_bit_anywhere_is_noticed(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "1-000000005")
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert not intact(path), at
    path.write_bytes(whole)
    assert intact(path)


@pytest.mark.parametrize("left", [0, 7, 100, 500, -1])
def test_a_torn_file_is_noticed(tmp_path: Path, left: int) -> None:
    path = checkpoint(tmp_path, "1-000000005")
    path.write_bytes(path.read_bytes()[:left])
    assert not intact(path)


def test_bytes_at_the_end_are_noticed(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "1-000000005")
    path.write_bytes(path.read_bytes() + b"\0")
    assert not intact(path)


def test_the_one_before_stands_in_for_a_damaged_checkpoint(tmp_path: Path) -> None:
    first, second, third = (checkpoint(tmp_path, f"2-{step:09d}") for step in (3, 6, 9))
    pointed = f"checkpoints/{third.name}"
    assert usable_checkpoints(tmp_path, pointed) == [third, second]
    third.write_bytes(third.read_bytes()[:-1])
    assert usable_checkpoints(tmp_path, pointed) == [second, first]
    third.unlink()
    assert usable_checkpoints(tmp_path, pointed) == [second, first]


def test_an_earlier_attempt_stands_in_and_a_later_one_does_not(tmp_path: Path) -> None:
    for name in ("9-000000012", "10-000000015", "11-000000020"):
        checkpoint(tmp_path, name)
    pointed = "checkpoints/10-000000015.safetensors"
    assert names(usable_checkpoints(tmp_path, pointed)) == ["10-000000015", "9-000000012"]
    (tmp_path / pointed).write_bytes(b"")
    assert names(usable_checkpoints(tmp_path, pointed)) == ["9-000000012"]


def test_without_a_pointer_or_without_a_whole_file_a_job_starts_anew(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "1-000000005")
    assert usable_checkpoints(tmp_path, None) == []
    path.write_bytes(b"torn")
    assert usable_checkpoints(tmp_path, f"checkpoints/{path.name}") == []
