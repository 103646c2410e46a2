"""Two convolutional auto-encoders with group sparsity, one on the pools of the other (lecture 9.1)."""

from pinwheel.recipes.recipe import Recipe
from pinwheel.specs import (
    Conv,
    Layer,
    Model,
    Pools,
    PredictRefine,
    Preprocessing,
    Resources,
    Solver,
    StackSpec,
    Training,
)


def conv_layer(units: int, kernel_size: int, weight: float, learning_rate: float, epochs: int) -> Layer:
    """Pools overlap: a stroke that moves by two pixels leaves one and is still in the next."""
    return Layer(
        model=Model(
            connection=Conv(units=units, kernel_size=kernel_size, norm="fixed", update="diagonal-hessian"),
            encoder=PredictRefine(activation="relu", weight=1.0, solver=Solver(max_iterations=10, tolerance=0)),
            sparsity=Pools(weight=weight, layout="maps", size=1, window=4, window_stride=2),
            output="pooled",
        ),
        training=Training(epochs=epochs, batch_size=32, learning_rate=learning_rate, previews=20),
    )


STACKED = Recipe(
    name="stacked",
    title="Stacked auto-encoders",
    summary=(
        "Two layers of kernels, each with L2 pools over a window: strokes, then what strokes meet in. Learned without "
        "labels, their features need few of them: a linear classifier on top, or all layers on from there."
    ),
    paper=(
        "K. Kavukcuoglu, P. Sermanet, Y. Boureau, K. Gregor, M. Mathieu and Y. LeCun, Learning Convolutional Feature "
        "Hierarchies for Visual Recognition, NIPS 2010; Y. LeCun, lecture 9.1, NYU Deep Learning"
    ),
    needs_labels=False,
    dataset="digits",
    cost="32 kernels of 7 × 7, 256 of 4 × 4, 3 epochs and 1 of 20 000 digits: about 8 minutes on two CPU cores",
    spec=StackSpec(
        preprocessing=Preprocessing(whiten="lcn", lcn_sigma=6.0, scale="none"),
        stages=(conv_layer(32, 7, 0.4, 3e-3, 3), conv_layer(256, 4, 0.3, 2e-3, 1)),
        resources=Resources(),
    ),
)
