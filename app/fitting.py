"""Whether data, a spec and a model go together; `InvalidConfig` with both sides named where they do not.

A record of images of different sizes has no shape; `smallest` (least height, least width) and `channels` stand for it
where the data set was stored with them.
"""

import math
from typing import Any, TypeAlias

from app.geometry import Geometry, code_length, feature_shape
from app.pointers import Pointers
from pinwheel.errors import InvalidConfig
from pinwheel.files import layers_of
from pinwheel.specs import (
    ANY_SPEC,
    Classifier,
    Connection,
    Conv,
    Dense,
    Layer,
    Local,
    Model,
    NoClassifier,
    Pools,
    Preprocessing,
    Shape,
    StackSpec,
    Supervised,
    TrainSpec,
    as_image,
    classifier_of,
    is_taken,
    layers,
)
from pinwheel.specs.preprocessing import MOST_PATCH_BYTES, MOST_ZCA_INPUTS

Record: TypeAlias = dict[str, Any]

# On connections over an image: numbers of one code, and of all codes of a batch. 2²⁸ float32 are 1 GiB.
MOST_CODE, MOST_BATCH_CODES = 2**22, 2**28
MOST_RESULT_BYTES = 64 * 2**30  # of the features of a data set that are kept dense
MOST_WEIGHTS = 2**28  # numbers of a dictionary of such filters, and of any classifier


def refused(pointer: str, code: str, detail: str) -> InvalidConfig:
    return InvalidConfig(f"{pointer}: {detail}", errors=[{"pointer": pointer, "code": code, "detail": detail}])


def smallest_image(dataset: Record) -> Shape | None:
    """Least height, least width and the channels; None where the record does not know."""
    images = dataset["images"]
    if not images["variable_size"]:
        height, width, channels = images["shape"]
        return height, width, channels
    if "smallest" not in images:
        return None
    return (*images["smallest"], images["channels"])


def input_shape(preprocessing: Preprocessing, dataset: Record, pointer: str) -> Shape:
    """(H, W, C) of one input of the model; one channel where the record does not know."""
    try:
        return preprocessing.input_shape(smallest_image(dataset) or (0, 0, 1))
    except ValueError as error:
        raise refused(pointer, "wrong_channels", str(error)) from None


def check_data(spec: TrainSpec | StackSpec, dataset: Record, pointer: str) -> None:
    """Whether this spec can be trained, or measured, on these images."""
    check_sizes(spec.preprocessing, dataset, pointer)
    if classifier_of(spec.stages[-1]).kind != "none" and dataset["labels"] is None:
        detail = f'{dataset["id"]} has no labels, which classifier \'softmax\' needs; give labels or {{"kind": "none"}}'
        raise refused(pointer, "no_labels", detail)


def check_sizes(preprocessing: Preprocessing, dataset: Record, pointer: str) -> None:
    size = preprocessing.patch_size
    if size is None:
        if dataset["images"]["variable_size"]:
            detail = (
                f"the images of {dataset['id']} have different sizes; a model of whole images needs images of one "
                "size, one of patches (preprocessing.patch_size) does not"
            )
            raise refused(pointer, "variable_size", detail)
        return
    smallest = smallest_image(dataset)
    if smallest is not None and size > min(smallest[:2]):
        detail = f"patch_size is {size} and the smallest image of {dataset['id']} is {smallest[0]} × {smallest[1]}"
        raise refused(pointer, "patch_too_large", detail)


def check_amounts(preprocessing: Preprocessing, shape: Shape, images: int) -> None:
    """Whether what the preprocessing keeps in memory is bounded."""
    inputs = math.prod(shape)
    if preprocessing.whiten == "zca" and inputs > MOST_ZCA_INPUTS:
        detail = f"inputs of {inputs} values are too large for 'zca', which takes at most {MOST_ZCA_INPUTS}"
        raise refused("#/preprocessing/whiten", "too_large", detail)
    patches = preprocessing.inputs_from(images)
    size = 4 * inputs * patches
    if preprocessing.patch_size is not None and size > MOST_PATCH_BYTES:
        detail = (
            f"{patches} patches of {inputs} values take {size} bytes; at most {MOST_PATCH_BYTES} are kept: draw fewer "
            "or smaller ones"
        )
        raise refused("#/preprocessing/patches_per_image", "too_large", detail)


def check_base(base: Record | None, dataset: Record, shape: Shape) -> None:
    """Whether the model that a stack is put on sees such inputs."""
    if base is not None and smallest_image(dataset) is not None and shape != tuple(base["input_shape"]):
        detail = (
            f"its images give inputs of {list(shape)}; {base['name']}@{base['version']} takes {base['input_shape']}"
        )
        raise refused("#/dataset", "wrong_shape", detail)


def check_stages(
    spec: TrainSpec | StackSpec,
    shape: Shape,
    images: int,
    classes: int,
    base: Record | None = None,
    pointers: Pointers = Pointers(),  # noqa: B008 — it never changes
) -> None:
    """Whether the layers go with inputs of this shape and with each other, in bounded memory."""
    inputs, answer = spec.preprocessing.inputs_from(images), math.prod(shape)
    for number, stage in enumerate(spec.stages):
        pointer = pointers.of_stage(number, spec)
        if isinstance(stage, Supervised):
            check_classifier(stage.classifier, classes, answer, f"{pointer}/classifier")
        elif is_taken(stage) and base is not None:
            shape = as_image(tuple(feature_shape(base, number)))
            answer = math.prod(shape)
        else:
            found = check_layer(stage, shape, inputs, pointer)
            check_classifier(stage.model.classifier, classes, found.features, f"{pointer}/model/classifier")
            shape, answer = as_image(found.answer), found.features


def check_layer(layer: Layer, shape: Shape, inputs: int, pointer: str) -> Geometry:
    """Whether the filters, pools and codes of a layer go with this many inputs of this shape, in bounded memory."""
    model = layer.model
    found = geometry(model, shape, pointer)
    if not isinstance(model.connection, Dense):
        if isinstance(model.sparsity, Pools):
            _check_pools(model.sparsity, found.code, pointer)
        _check_codes(found, min(layer.training.batch_size, inputs), pointer)
    elif found.weights > MOST_WEIGHTS:
        detail = (
            f"{found.filters} units of {found.inputs} inputs make {found.weights} weights; at most {MOST_WEIGHTS} are "
            "learned"
        )
        raise refused(f"{pointer}/model/connection/units", "too_large", detail)
    return found


def check_classifier(classifier: Classifier, classes: int, features: int, pointer: str) -> None:
    if not isinstance(classifier, NoClassifier) and classes * features > MOST_WEIGHTS:
        detail = (
            f"{classes} classes and {features} features make {classes * features} weights; at most "
            f"{MOST_WEIGHTS} are learned: answer fewer features (output 'pooled', a larger stride)"
        )
        raise refused(pointer, "too_large", detail)


def geometry(model: Model, shape: Shape, pointer: str) -> Geometry:
    """How large a layer is on such inputs. Raises `InvalidConfig` where its filters do not fit into them."""
    try:
        return Geometry.of(model, shape)
    except ValueError as error:
        field = _misfit(model.connection, shape)
        raise refused(f"{pointer}/model/connection/{field}", "does_not_fit", str(error)) from None


def _misfit(connection: Connection, shape: Shape) -> str:
    """The setting on account of which the filters do not fit into inputs of this shape."""
    side = min(shape[:2])
    if isinstance(connection, Conv):
        return "kernel_size" if connection.kernel_size > side + 2 * connection.padding else "stride"
    assert isinstance(connection, Local)  # a dense connection fits everywhere
    if connection.field_size > side:
        return "field_size"
    left = any((length - connection.field_size) % connection.field_stride for length in shape[:2])
    return "field_stride" if left else "tile"


def _check_pools(pools: Pools, code: Shape, pointer: str) -> None:
    rows, columns, _ = code
    field, size, what = ("window", pools.window, "maps") if pools.layout == "maps" else ("size", pools.size, "sheet")
    if size > min(rows, columns):
        detail = f"pools of side {size} are larger than the {what} of {rows} × {columns} units"
        raise refused(f"{pointer}/model/sparsity/{field}", "too_large", detail)


def _check_codes(found: Geometry, batch: int, pointer: str) -> None:
    rows, columns, units = found.code
    if found.units > MOST_CODE:
        detail = (
            f"codes of {rows} × {columns} × {units} = {found.units} numbers are too long; at most {MOST_CODE} are "
            "found: take fewer units, a larger stride or smaller patches"
        )
        raise refused(f"{pointer}/model/connection", "too_large", detail)
    if found.weights > MOST_WEIGHTS:
        detail = (
            f"{found.filters} filters of {found.field} pixels make {found.weights} weights; at most {MOST_WEIGHTS} are "
            "learned"
        )
        raise refused(f"{pointer}/model/connection", "too_large", detail)
    if batch * found.units > MOST_BATCH_CODES:
        detail = (
            f"{batch} codes of {found.units} numbers make {batch * found.units}; a batch has at most "
            f"{MOST_BATCH_CODES}: {MOST_BATCH_CODES // found.units} inputs"
        )
        raise refused(f"{pointer}/training/batch_size", "too_large", detail)


def check_alike(preprocessing: Preprocessing, dataset: Record, validation: Record) -> None:
    """Whether both data sets give the same inputs, and the validation no class that is not trained."""
    pointer = "#/validation/dataset"
    known = smallest_image(dataset) and smallest_image(validation)
    given, wanted = (input_shape(preprocessing, each, pointer) for each in (validation, dataset))
    if known and given != wanted:
        detail = f"its images give inputs of {list(given)}; the training data give {list(wanted)}"
        raise refused(pointer, "wrong_shape", detail)
    if dataset["labels"] and validation["labels"] and validation["labels"]["classes"] > dataset["labels"]["classes"]:
        detail = f"it has {validation['labels']['classes']} classes, the training data {dataset['labels']['classes']}"
        raise refused(pointer, "wrong_classes", detail)


def check_encodable(model: Record, dataset: Record) -> None:
    """Whether a model takes the images of a data set: its own size, or larger where it was trained on patches."""
    preprocessing = Preprocessing.model_validate(model["spec"]["preprocessing"])
    pointer, smallest = "#/dataset", smallest_image(dataset)
    check_sizes(preprocessing, dataset, pointer)
    if smallest is None or input_shape(preprocessing, dataset, pointer) == tuple(model["input_shape"]):
        return
    detail = (
        f"its images are {list(smallest)}; the model {model['name']}@{model['version']} takes {model['input_shape']}"
    )
    raise refused(pointer, "wrong_shape", detail)


def check_layer_of(model: Record, layer: int | None, pointer: str) -> None:
    count = len(layers_of(model))
    if layer is not None and layer >= count:
        detail = f"{model['name']}@{model['version']} has {count} layers, 0 to {count - 1}, and layer is {layer}"
        raise refused(pointer, "too_large", detail)


def check_passes(model: Record, layer: int | None, passes: int | None, pointer: str) -> None:
    if passes is None:
        return
    kind = layers(ANY_SPEC.validate_python(model["spec"]))[-1 if layer is None else layer].model.encoder.kind
    if kind != "recurrent":
        detail = f"passes is {passes} and the encoder {kind!r} has none; leave them out"
        raise refused(pointer, "no_passes", detail)


def check_topk(features: int, topk: int | None, pointer: str) -> None:
    if topk is not None and topk > features:
        raise refused(pointer, "too_large", f"topk is {topk}; the model gives {features} features")


def check_topk_of_code(model: Record, layer: int | None, topk: int | None, pointer: str) -> None:
    """Whether the code of one input has so many numbers; pools answer fewer."""
    units = code_length(model, layer)
    if topk is not None and topk > units:
        raise refused(pointer, "too_large", f"topk is {topk}; the code of one input has {units} numbers")


def check_result(count: int, features: int, *, dense: bool) -> None:
    """Whether the features of a whole data set of `count` images can be gathered."""
    size = 4 * count * features
    if dense and size > MOST_RESULT_BYTES:
        detail = (
            f"{count} × {features} features take {size} bytes; at most {MOST_RESULT_BYTES} are kept dense: keep them "
            "sparse"
        )
        raise refused("#/output/sparse", "too_large", detail)
