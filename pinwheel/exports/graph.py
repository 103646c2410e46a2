"""An ONNX graph in the making: standard operators of one operator set, by their names.

What is not the name of a value is a constant: a float becomes float32, whole numbers int64, an array stays as it is.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array: TypeAlias = NDArray[Any]
Value: TypeAlias = str | float | Sequence[int] | Array | np.generic
Body: TypeAlias = Callable[..., tuple[str | None, list[str]]]

OPSET = 18
IR_VERSION = 8  # what goes with that operator set: older runtimes open the file too
FLOAT, BOOL = TensorProto.FLOAT, TensorProto.BOOL
DOUBLE, INT64, UINT8 = TensorProto.DOUBLE, TensorProto.INT64, TensorProto.UINT8


class Graph:
    """A graph, or the body of a loop in the graph `outer`, whose values it may use. Constants are in the outermost."""

    def __init__(self, outer: "Graph | None" = None) -> None:
        self._top: Graph = self if outer is None else outer._top
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[Any, ...], onnx.TensorProto] = {}
        self._count = 0

    def op(self, kind: str, *inputs: Value, **attributes: Any) -> str:
        """The name of the only output of an operator."""
        return self.ops(kind, inputs, 1, **attributes)[0]

    def ops(self, kind: str, inputs: Sequence[Value], outputs: int, **attributes: Any) -> list[str]:
        names = [self._fresh(kind.lower()) for _ in range(outputs)]
        given = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self._nodes.append(helper.make_node(kind, given, names, **attributes))
        return names

    def constant(self, value: Value) -> str:
        array = np.asarray(value)
        if not isinstance(value, np.ndarray | np.generic):
            array = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._top._constants:
            self._top._constants[key] = numpy_helper.from_array(np.ascontiguousarray(array), self._fresh("constant"))
        return str(self._top._constants[key].name)

    def cast(self, x: str, kind: int) -> str:
        return self.op("Cast", x, to=kind)

    def shaped(self, x: str, *shape: int) -> str:
        """`x` with this shape; −1 is what is left. Never with a 0 for "as it was": batches may be empty."""
        return self.op("Reshape", x, list(shape))

    def transposed(self, x: str, *order: int) -> str:
        return self.op("Transpose", x, perm=list(order))

    def sum(self, x: str, axis: int, *, keep: bool = False) -> str:
        return self.op("ReduceSum", x, [axis], keepdims=int(keep))

    def loop(self, trips: int, states: Sequence[tuple[str, int]], body: Body) -> list[str]:
        """The states after `trips` turns, or after the first in which `body` says that it is enough.

        `states` are values with their number formats; `body(graph, *states)` gives whether to go on (None: always) and
        the next states.
        """
        inner = Graph(self)
        turn, going = self._fresh("turn"), self._fresh("going")
        names = [self._fresh("state") for _ in states]
        found, following = body(inner, *names)
        outputs = [inner.op("Identity", name) for name in (going if found is None else found, *following)]
        kinds = [BOOL, *(kind for _, kind in states)]
        graph = helper.make_graph(
            inner._nodes,
            self._fresh("body"),
            [helper.make_tensor_value_info(turn, INT64, []), *map(_unshaped, (going, *names), kinds)],
            list(map(_unshaped, outputs, kinds)),
        )
        return self.ops(
            "Loop",
            [np.asarray(trips, np.int64), np.asarray(True), *(name for name, _ in states)],
            len(states),
            body=graph,
        )

    def model(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        values: Sequence[str],
        about: dict[str, str],
    ) -> onnx.ModelProto:
        """The whole, with `values` under the names of `outputs`."""
        for value, output in zip(values, outputs, strict=True):
            self._nodes.append(helper.make_node("Identity", [value], [output.name]))
        constants = list(self._constants.values())
        graph = helper.make_graph(self._nodes, "encoder", list(inputs), list(outputs), initializer=constants)
        found = helper.make_model(
            graph, producer_name="pinwheel", opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
        )
        helper.set_model_props(found, about)
        return found

    @property
    def constant_bytes(self) -> int:
        return sum(len(tensor.raw_data) for tensor in self._top._constants.values())

    def _fresh(self, what: str) -> str:
        self._top._count += 1
        return f"{what}_{self._top._count}"


def _unshaped(name: str, kind: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, None)
