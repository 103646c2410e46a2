"""Parts that do not go together on images: refused with both values named."""

from typing import Any

import pytest
from pydantic import ValidationError

from pinwheel.specs import (
    L1,
    Conv,
    Dense,
    Exact,
    Feedforward,
    Inhibition,
    Local,
    Model,
    Noise,
    Pools,
    PredictRefine,
    Preprocessing,
    Recurrent,
    Resources,
    Solver,
    Training,
    TrainSpec,
    Tree,
    TreeShape,
    unit_map,
)

CONV, LOCAL, DENSE = Conv(units=6, kernel_size=3), Local(field_size=3), Dense(units=16)
MAPS, SHEET = Pools(layout="maps", size=2, window=2), Pools(layout="sheet", size=3, stride=2)
LINEAR = Feedforward(activation="linear", gain=False)
DESCENT, ACTIVE = Solver(method="coordinate-descent"), Solver(method="active-set")

# Parts, and what is said of them.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a sheet on a convolution": (
        {"connection": CONV, "sparsity": SHEET},
        "pools on the connection 'conv' have the layout 'maps', not 'sheet'",
    ),
    "maps on local fields": (
        {"connection": LOCAL, "sparsity": MAPS},
        "pools on the connection 'local' have the layout 'sheet', not 'maps'",
    ),
    "disjoint pools on a convolution": ({"connection": CONV, "sparsity": Pools(size=2)}, "'maps', not 'disjoint'"),
    "a torus on local fields": (
        {"connection": LOCAL, "sparsity": Pools(layout="torus", size=2)},
        "'sheet', not 'torus'",
    ),
    "maps on a dense connection": (
        {"connection": DENSE, "sparsity": MAPS},
        "layout 'maps' need a connection over an image, 'conv' or 'local'",
    ),
    "a sheet on a dense connection": ({"connection": DENSE, "sparsity": SHEET}, "layout 'sheet' need a connection"),
    "groups larger than the maps": (
        {"connection": CONV, "sparsity": Pools(layout="maps", size=7)},
        "groups of 7 maps, one every 7, do not divide 6 maps",
    ),
    "groups that do not divide the maps": (
        {"connection": CONV, "sparsity": Pools(layout="maps", size=4)},
        "groups of 4 maps, one every 4, do not divide 6 maps",
    ),
    "steps that do not divide the maps": (
        {"connection": CONV, "sparsity": Pools(layout="maps", size=5, stride=4)},
        "groups of 5 maps, one every 4, do not divide 6 maps",
    ),
    "a tree on a convolution": (
        {"connection": CONV, "sparsity": Tree(shape=TreeShape(branching=[6]))},
        "sparsity 'tree' works on dense connections; on 'conv' 'l1' and 'pools' do",
    ),
    "inhibition on local fields": (
        {"connection": LOCAL, "sparsity": Inhibition()},
        "sparsity 'inhibition' works on dense connections; on 'local' 'l1' and 'pools' do",
    ),
    "noise on a convolution": (
        {"connection": CONV, "sparsity": Noise(), "encoder": LINEAR},
        "sparsity 'noise' works on dense connections; on 'conv'",
    ),
    "steps of DrSAE on local fields": (
        {"connection": LOCAL, "sparsity": L1(), "encoder": Recurrent()},
        "start 'drsae' takes a step that units with common pixels overshoot; on 'local' 'ista'",
    ),
    "coordinates of a convolution": (
        {"connection": CONV, "sparsity": L1(), "encoder": Exact(solver=DESCENT)},
        "solver 'coordinate-descent' works on dense connections; on 'conv' 'fista' does",
    ),
    "coordinates of what is predicted": (
        {"connection": LOCAL, "sparsity": L1(), "encoder": PredictRefine(solver=DESCENT)},
        "solver 'coordinate-descent' works on dense connections; on 'local' 'fista' does",
    ),
    "an active set of pools": (
        {"connection": CONV, "sparsity": MAPS, "encoder": Exact(solver=ACTIVE)},
        "solver 'active-set' works with 'l1', not 'pools'",
    ),
    "an active set that a prediction pulls at": (
        {"connection": CONV, "sparsity": L1(), "encoder": PredictRefine(solver=ACTIVE)},
        "solver 'active-set' finds codes that nothing pulls at; 'predict-refine' needs 'fista'",
    ),
    "thresholds of ISTA from pools": (
        {"connection": CONV, "sparsity": MAPS, "encoder": Recurrent(start="ista")},
        "start 'ista' takes its thresholds from sparsity 'l1', not 'pools'",
    ),
    "pooled without pools": (
        {"connection": CONV, "sparsity": L1(), "output": "pooled"},
        "output 'pooled' needs the sparsity 'pools', not 'l1'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_parts_that_do_not_go_together_are_refused_with_both_named(name: str) -> None:
    parts, said = REFUSED[name]
    with pytest.raises(ValidationError) as refused:
        Model(**{"encoder": Exact(), **parts})
    assert said in str(refused.value)


BAD_POOLS: dict[str, tuple[dict[str, Any], str]] = {
    "a window on a sheet": ({"layout": "sheet", "window": 2}, "window 2 goes with the layout 'maps', not 'sheet'"),
    "a stride of windows on a ring": (
        {"layout": "ring", "window_stride": 1},
        "goes with the layout 'maps', not 'ring'",
    ),
    "windows that leave positions out": (
        {"layout": "maps", "window": 2, "window_stride": 3},
        "window_stride 3 with windows of 2 leaves units in no pool",
    ),
    "bells over maps": ({"layout": "maps", "profile": "gaussian"}, "those of 'maps' are flat"),
    "pools that leave units of a sheet out": (
        {"layout": "sheet", "size": 3, "stride": 4},
        "stride 4 with pools of size 3",
    ),
    "a map of a sheet": (
        {"layout": "sheet", "map": {"height": 2, "width": 2}},
        "a map goes with the layout 'torus', not 'sheet'",
    ),
}


@pytest.mark.parametrize("name", BAD_POOLS)
def test_pools_that_contradict_themselves_are_refused(name: str) -> None:
    given, said = BAD_POOLS[name]
    with pytest.raises(ValidationError) as refused:
        Pools.model_validate(given)
    assert said in str(refused.value)


GOOD: dict[str, dict[str, Any]] = {
    "maps": {"connection": CONV, "sparsity": MAPS, "output": "pooled"},
    "maps on a ring": {
        "connection": CONV,
        "sparsity": Pools(layout="maps", size=3, stride=1, window=3, window_stride=1),
    },
    "a sheet": {"connection": LOCAL, "sparsity": SHEET, "output": "pooled"},
    "bells on a sheet": {
        "connection": LOCAL,
        "sparsity": Pools(layout="sheet", size=6, stride=1, profile="gaussian", sigma=1.5),
    },
    "ISTA on a convolution": {"connection": CONV, "sparsity": L1(), "encoder": Recurrent(start="ista")},
    "LISTA on local fields": {
        "connection": LOCAL,
        "sparsity": L1(),
        "encoder": Recurrent(start="ista", target="exact-code"),
    },
    "pooled on a dense connection": {"connection": DENSE, "sparsity": Pools(size=4), "output": "pooled"},
}


@pytest.mark.parametrize("name", GOOD)
def test_parts_that_go_together_survive_json(name: str) -> None:
    model = Model(**{"encoder": Exact(), **GOOD[name]})
    assert Model.model_validate_json(model.model_dump_json()) == model


def whole(connection: Conv | Local | Dense) -> Model:
    return Model(connection=connection, encoder=Exact(), sparsity=L1())


def test_local_units_lie_on_a_sheet_that_closes_where_it_repeats() -> None:
    image = (10, 14, 1)
    four = Local(field_size=3, units_per_position=4)
    assert unit_map(whole(four), image) == {"layout": "sheet", "height": 16, "width": 24, "wrap": False}
    tiled = four.model_copy(update={"tile": 4})
    assert unit_map(whole(tiled), image) == {"layout": "torus", "height": 8, "width": 8}
    assert unit_map(whole(CONV), image) is None
    assert unit_map(whole(DENSE), image) is None


@pytest.mark.parametrize("connection", [CONV, LOCAL])
def test_whitening_that_mixes_positions_goes_with_dense_connections_alone(connection: Conv | Local) -> None:
    def spec(of: Conv | Local | Dense, whiten: str) -> TrainSpec:
        preprocessing = Preprocessing.model_validate({"whiten": whiten})
        return TrainSpec(preprocessing=preprocessing, model=whole(of), training=Training(), resources=Resources())

    with pytest.raises(ValidationError, match=rf"'zca', which mixes the positions.* connection '{connection.kind}'"):
        spec(connection, "zca")
    for whiten in ("none", "lcn"):
        assert spec(connection, whiten).preprocessing.whiten == whiten
    assert spec(DENSE, "zca").preprocessing.whiten == "zca"
