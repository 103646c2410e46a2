"""Every setting is written down where people look for it: `.env.example` and docs/deployment.md."""

import re

from house.settings_page import PAGE, ROOT, text, variable, with_table

from pinwheel.settings import Settings

ENTRY = re.compile(r"^# (?P<description>.+)\n(?P<name>\w+)=(?P<default>.*)$", re.MULTILINE)


def entries() -> dict[str, tuple[str, str]]:
    """(default, description) by variable, as `.env.example` has them."""
    page = (ROOT / ".env.example").read_text()
    return {found["name"]: (found["default"], found["description"]) for found in ENTRY.finditer(page)}


def test_env_example_has_every_setting_with_its_default_and_its_description() -> None:
    fields = Settings.model_fields.items()
    assert entries() == {variable(name): (text(field.default), field.description) for name, field in fields}


def test_env_example_assigns_nothing_without_a_description() -> None:
    page = (ROOT / ".env.example").read_text()
    assert re.findall(r"^(\w+)=", page, re.MULTILINE) == list(entries())


def test_env_example_read_as_an_environment_gives_the_defaults() -> None:
    given = {name: default for name, (default, _) in entries().items()}
    settings = Settings(_env_file=ROOT / ".env.example")
    shown = {variable(name): text(value) for name, value in settings.model_dump().items()}
    assert shown == given


def test_the_table_in_the_docs_is_current() -> None:
    page = PAGE.read_text()
    assert page == with_table(page), "run: python tests/house/settings_page.py"
