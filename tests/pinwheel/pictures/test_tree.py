"""Trees on the plane: nobody stands on another, the root in the middle, branches in sectors of their own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinwheel.errors import InvalidRequest
from pinwheel.pictures.sheet import picture
from pinwheel.pictures.tree import draw_tree, tree_numbers, usage_by_depth
from pinwheel.pictures.tree_layout import forest, grown
from pinwheel.pictures.unit_map import depths
from pinwheel.specs.trees import TreeShape

Ints = np.ndarray[tuple[int], np.dtype[np.int64]]


def parents(*branching: int, trees: int = 1) -> Ints:
    return np.array(TreeShape(branching=list(branching), trees=trees).parent_of_each())


@st.composite
def any_trees(draw: st.DrawFn) -> Ints:
    """Every unit hangs on one before it or is a root."""
    units = draw(st.integers(1, 60))
    return np.array([draw(st.integers(-1, unit - 1)) for unit in range(units)])


def nearest(places: np.ndarray) -> float:
    """Least distance between two units, along x or y, whichever is larger."""
    apart = np.abs(places[:, None] - places).max(axis=2)
    np.fill_diagonal(apart, np.inf)
    return float(apart.min())


@settings(max_examples=150, deadline=None)
@given(parent=any_trees(), lanes=st.integers(1, 6))
def test_no_tile_covers_another_and_all_lie_on_the_sheet(parent: Ints, lanes: int) -> None:
    drawn = forest(grown(parent, lanes), 10, 5)
    assert nearest(drawn.places) > 10
    assert (drawn.places >= 5).all()
    assert (drawn.places <= [drawn.width - 5, drawn.height - 5]).all()


@pytest.mark.parametrize("lanes", [1, 4])
def test_large_trees_have_room_for_every_tile(lanes: int) -> None:
    for parent in (parents(10, 2, 2), parents(11, 5, 6), parents(2, 2, 2, 2, 2, 2, 2), parents(300)):
        assert nearest(forest(grown(parent, lanes), 32, 24).places) > 32


def test_the_tree_of_the_lecture_has_its_root_in_the_middle_and_its_generations_on_evenly_spaced_circles() -> None:
    drawn = forest(grown(parents(10, 2, 2), 1), 48, 24)
    middle = np.array([drawn.width, drawn.height]) / 2
    assert drawn.places[0] == pytest.approx(middle)
    radius = np.hypot(*(drawn.places - middle).T)
    for first, end, share in ((1, 11, 1 / 3), (11, 31, 2 / 3), (31, 71, 1)):
        assert radius[first:end] == pytest.approx(share * radius[-1])


def test_a_branch_has_a_sector_as_wide_as_its_share_of_the_leaves() -> None:
    parent = np.array([-1, 0, 0, 1, 1, 1])  # one child has three leaves, the other is the fourth
    drawn = forest(grown(parent, 1), 10, 5)
    from_root = drawn.places - drawn.places[0]
    angles = np.degrees(np.arctan2(from_root[:, 0], -from_root[:, 1])) % 360
    assert angles[[1, 2]] == pytest.approx([135, 315])
    assert angles[[3, 4, 5]] == pytest.approx([45, 135, 225])


def test_several_trees_stand_beside_each_other() -> None:
    parent = parents(4, 2, trees=6)
    drawn = forest(grown(parent, 1), 10, 20)
    roots = drawn.places[:6]
    assert len(np.unique(roots.round(6), axis=0)) == 6
    assert max(drawn.width, drawn.height) < 2.5 * min(drawn.width, drawn.height)


def test_usage_is_averaged_over_each_depth() -> None:
    parent, usage = np.array([-1, 0, 0, 1]), np.array([0.9, 0.5, 0.3, 0.1])
    levels = usage_by_depth(parent, usage)
    assert [(level.depth, level.units, level.usage) for level in levels] == [(0, 1, 0.9), (1, 2, 0.4), (2, 1, 0.1)]
    assert tree_numbers(parent, usage)["falls"]
    assert not tree_numbers(parent, usage[::-1])["falls"]
    assert tree_numbers(parent, usage)["depth"] == depths(parent).tolist() == [0, 1, 1, 2]


def test_a_tree_that_no_sheet_can_hold_is_refused() -> None:
    for parent, reason in ((np.arange(-1, 2999), "at most 16000000"), (parents(5000), "5001 units; at most 5000")):
        filters = np.ones((len(parent), 4, 4, 1), np.float32)
        with pytest.raises(InvalidRequest, match=reason):
            picture(lambda: draw_tree(filters, parent, np.ones(len(parent)), "large"), "png")  # noqa: B023  drawn here


def test_depths_of_long_chains_are_found() -> None:
    assert depths(np.arange(-1, 65_535)).tolist() == list(range(65_536))
