"""The table of settings in docs/deployment.md, from `Settings`; `python tests/house/settings_page.py` writes it."""

from pathlib import Path
from typing import Any

from pinwheel.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "deployment.md"
START = "<!-- settings: written by tests/house/settings_page.py -->\n"
END = "<!-- end of settings -->\n"


def variable(field: str) -> str:
    return f"PINWHEEL_{field.upper()}"


def text(default: Any) -> str:
    """A default as one writes it into the environment."""
    return "" if default is None else str(default)


def table() -> str:
    rows = [
        f"| `{variable(name)}` | {text(field.default) and f'`{text(field.default)}`'} | {field.description} |\n"
        for name, field in Settings.model_fields.items()
    ]
    return "| variable | default | meaning |\n| --- | --- | --- |\n" + "".join(rows)


def with_table(page: str) -> str:
    """The page with the table as it must be now."""
    before, rest = page.split(START)
    _, after = rest.split(END)
    return before + START + "\n" + table() + "\n" + END + after


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
