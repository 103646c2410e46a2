"""A training in full: what the worker gets and what is saved with the model. Of one layer, or of a stack of them."""

from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, TypeAdapter, model_validator

from pinwheel.specs.base import Spec, misplaced
from pinwheel.specs.classifier import Classifier, NoClassifier, Softmax
from pinwheel.specs.connection import Connection, Dense, Shape
from pinwheel.specs.encoder import Encoder, Exact, PredictRefine, Recurrent
from pinwheel.specs.model import Model
from pinwheel.specs.preprocessing import Preprocessing
from pinwheel.specs.training import Resources, Training

MOST_STAGES = 8


class Layer(Spec):
    """A stage that adds a layer: it learns on the features of the layers below, which stay as they are."""

    tag: ClassVar[str] = "layer"

    model: Model
    training: Training
    taken_from: str | None = Field(
        None, description="The model `name@version` whose layer this is: it is there already. Set by `on_top_of`."
    )

    @model_validator(mode="after")
    def _encoder_predicts_codes(self) -> Self:
        check_predicts(self.model.encoder, self.training)
        return self


class Supervised(Spec):
    """The last stage, where there are labels: a classifier on the features of all layers, and the layers with it."""

    tag: ClassVar[str] = "supervised"

    classifier: Softmax
    learn: Literal["all", "classifier"] = Field(
        "all", description="Whether the encoders of all layers learn from the labels, or the classifier alone."
    )
    training: Training

    @model_validator(mode="after")
    def _has_nothing_without_labels(self) -> Self:
        for name, idle in {"unsupervised_fraction": 0.0, "dictionary_fraction": 0.0, "revive_after": None}.items():
            found = getattr(self.training, name)
            if found != idle:
                raise ValueError(f"training.{name} is {found} and a stage of labels alone has only {idle}")
        return self


def _kind_of_stage(value: Any) -> str:
    """By its fields: a stage with a model adds a layer."""
    if isinstance(value, dict):
        return Supervised.tag if "classifier" in value and "model" not in value else Layer.tag
    return Supervised.tag if isinstance(value, Supervised) else Layer.tag


Stage: TypeAlias = Annotated[
    Annotated[Layer, Tag(Layer.tag)] | Annotated[Supervised, Tag(Supervised.tag)], Discriminator(_kind_of_stage)
]


class TrainSpec(Spec):
    """The training of a model of one layer."""

    preprocessing: Preprocessing
    model: Model
    training: Training
    resources: Resources

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        check_positions(self.preprocessing, self.model.connection)
        check_predicts(self.model.encoder, self.training)
        return self

    @property
    def stages(self) -> tuple[Layer | Supervised, ...]:
        return (Layer(model=self.model, training=self.training),)


class StackSpec(Spec):
    """The training of a stack: every stage learns on what those before it answer (LeCun's lecture 9.1)."""

    preprocessing: Preprocessing
    stages: Annotated[tuple[Stage, ...], Field(strict=False, max_length=MOST_STAGES)] = Field(
        description="From the images up; the last one may be of labels alone."
    )
    resources: Resources

    @model_validator(mode="after")
    def _stages_fit(self) -> Self:
        if not self.stages:  # as `min_length` it would be a second error wherever the only stage has one
            raise ValueError("a stack has at least one stage")
        for number, stage in enumerate(self.stages):
            last = number == len(self.stages) - 1
            if isinstance(stage, Supervised):
                self._check_supervised(stage, number, last)
            elif not isinstance(stage.model.classifier, NoClassifier) and not last:
                detail = f"the classifier is {stage.model.classifier.kind!r}; only the last stage classifies"
                raise misplaced(f"stages/{number}/model/classifier", detail)
        if isinstance(self.stages[0], Layer):
            check_positions(self.preprocessing, self.stages[0].model.connection)
        taken = [is_taken(stage) for stage in self.stages]
        if all(taken) or taken != sorted(taken, reverse=True):
            raise ValueError("stages that are taken from a model stand below all others, and one is left to train")
        return self

    def _check_supervised(self, stage: Supervised, number: int, last: bool) -> None:
        if number == 0 or not last:
            detail = "this stage has labels alone; there is one such stage, the last, above a layer"
            raise misplaced(f"stages/{number}", detail)
        for layer in self.stages[:number]:
            assert isinstance(layer, Layer)
            if stage.learn == "all" and isinstance(layer.model.encoder, Exact):
                detail = (
                    "learn is 'all' and the encoder of a layer below is 'exact', in which nothing is learned; "
                    "'classifier' works"
                )
                raise misplaced(f"stages/{number}/learn", detail)


def check_positions(preprocessing: Preprocessing, connection: Connection) -> None:
    if preprocessing.whiten == "zca" and not isinstance(connection, Dense):
        raise ValueError(
            "preprocessing.whiten is 'zca', which mixes the positions of an input, and the filters of the "
            f"connection {connection.kind!r} are each at their own; whiten by 'lcn', or 'none'"
        )


def check_predicts(encoder: Encoder, training: Training) -> None:
    predicts = isinstance(encoder, PredictRefine) or (isinstance(encoder, Recurrent) and encoder.target == "exact-code")
    if training.dictionary_fraction > 0 and not predicts:
        raise ValueError(
            f"training.dictionary_fraction is {training.dictionary_fraction} and the encoder {encoder.kind!r} does "
            "not learn from codes; 'predict-refine' and 'recurrent' with target 'exact-code' do"
        )


def _kind_of_spec(value: Any) -> str:
    stacked = "stages" in value if isinstance(value, dict) else isinstance(value, StackSpec)
    return "stack" if stacked else "train"


AnySpec: TypeAlias = Annotated[
    Annotated[TrainSpec, Tag("train")] | Annotated[StackSpec, Tag("stack")], Discriminator(_kind_of_spec)
]
ANY_SPEC: TypeAdapter[TrainSpec | StackSpec] = TypeAdapter(AnySpec)


def layers(spec: TrainSpec | StackSpec) -> tuple[Layer, ...]:
    """The layers of the model that comes out, from the images up."""
    return tuple(stage for stage in spec.stages if isinstance(stage, Layer))


def is_taken(stage: Layer | Supervised) -> bool:
    """Whether it is there already, in the model that the stages are put on."""
    return isinstance(stage, Layer) and stage.taken_from is not None


def trained(spec: TrainSpec | StackSpec) -> tuple[Layer | Supervised, ...]:
    """The stages that are there to be trained, one at least."""
    return tuple(stage for stage in spec.stages if not is_taken(stage))


def classifier_of(stage: Layer | Supervised) -> Classifier:
    return stage.classifier if isinstance(stage, Supervised) else stage.model.classifier


def taken(spec: TrainSpec | StackSpec, model: str) -> tuple[Layer, ...]:
    """The layers of a model as the first stages of another; what classified on them is not part of them."""
    without = {"classifier": NoClassifier()}
    return tuple(
        layer.model_copy(update={"model": layer.model.model_copy(update=without), "taken_from": model})
        for layer in layers(spec)
    )


def as_image(features: tuple[int, ...]) -> Shape:
    """What the features (rows, columns, groups) or (units,) of a layer are to the layer above."""
    return (features[0], features[1], features[2]) if len(features) == 3 else (1, 1, features[0])
