"""Every promise of docs/reliability.md names a test that exists."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_promise_names_a_test_that_exists() -> None:
    rows = [line for line in (ROOT / "docs/reliability.md").read_text().splitlines() if line.startswith("| ")][2:]
    assert rows
    for row in rows:
        named = re.search(r"`(tests/\S+\.py)::(test_\w+)` \|$", row)
        assert named, row
        path, name = named.groups()
        assert re.search(rf"^def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path} has no {name}"
