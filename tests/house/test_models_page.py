"""docs/models.md tells of every recipe: its energy, its paper, its spec as it is, what it reached, its pictures."""

import re
from pathlib import Path

import pytest
from house.models_page import PAGE, ROOT, with_tables

from pinwheel.recipes import RECIPES

TEXT = PAGE.read_text()
PICTURES = PAGE.parent / "pictures"
PICTURE = re.compile(r"!\[(?P<says>[^\]]*)\]\(pictures/(?P<file>[\w.-]+)\)")
MOST_BYTES = 300_000


def own_section(recipe: str) -> str:
    """From the heading that names the recipe to the next one of its rank."""
    found = re.search(rf"^(##+) `{re.escape(recipe)}`.*?(?=^\1 |^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert found, f"no heading names `{recipe}`"
    return found[0]


def whole_section(recipe: str) -> str:
    """The same; for one of several in a section of rank two, with what is said at its head about all of them."""
    own = own_section(recipe)
    if own.startswith("## "):
        return own
    outer = TEXT[TEXT.rindex("\n## ", 0, TEXT.index(own)) + 1 :]
    return outer[: outer.index("\n### ")] + own


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_has_its_energy_and_its_numbers(recipe: str) -> None:
    own = own_section(recipe)
    assert "**Energy.**" in own
    reached = re.search(rf"<!-- reached: {recipe} -->\n(.*?)<!-- end of reached -->", own, re.DOTALL)
    if reached:
        assert re.search(r"unexplained variance \d", reached[1])
    else:
        assert recipe == "drsae"
        assert "**What it reached.**" in own


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_names_its_paper(recipe: str) -> None:
    paper, said = RECIPES[recipe].paper, whole_section(recipe)
    marks = re.findall(r"(?<=[A-Z]\. )[^\W\d]+", paper) + re.findall(r"\b(?:19|20)\d\d\b|\d{4}\.\d{4,5}", paper)
    assert len(marks) >= 2
    assert [mark for mark in marks if mark not in said] == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_has_a_picture_of_its_own(recipe: str) -> None:
    own = [found["file"] for found in PICTURE.finditer(own_section(recipe))]
    assert f"{recipe}-filters.png" in own


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_spec_of_a_recipe_is_there(recipe: str) -> None:
    assert f"<!-- spec: {recipe} -->" in own_section(recipe)


def test_the_tables_follow_from_the_specs() -> None:
    assert with_tables(TEXT) == TEXT, "run python tests/house/models_page.py"


def test_every_picture_that_is_shown_exists_and_says_what_it_is() -> None:
    shown = list(PICTURE.finditer(TEXT))
    assert [found["file"] for found in shown if not (PICTURES / found["file"]).is_file()] == []
    assert [found["file"] for found in shown if not found["says"]] == []


def test_every_picture_is_shown_and_small() -> None:
    pages = "".join(path.read_text() for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
    kept = sorted(PICTURES.rglob("*.*"))
    assert kept
    assert [path.name for path in kept if f"pictures/{path.name}" not in pages] == []
    assert {path.name: path.stat().st_size for path in kept if path.stat().st_size > MOST_BYTES} == {}


def test_links_within_the_page_lead_somewhere() -> None:
    headings = {slug(line) for line in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)}
    assert [anchor for anchor in re.findall(r"\]\(#([^)]*)\)", TEXT) if anchor not in headings] == []
    files = re.findall(r"\]\(((?!#|http)[^)#]+)", TEXT)
    assert [name for name in files if not (PAGE.parent / name).is_file()] == []


def test_scripts_that_are_named_are_there() -> None:
    named = set(re.findall(r"benchmarks/\w+\.py", TEXT))
    assert "benchmarks/recipes.py" in named
    assert [name for name in sorted(named) if not Path(ROOT, name).is_file()] == []


def slug(heading: str) -> str:
    """The anchor of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")
