"""DrSAE as in the paper and its authors' code: plain SGD, their rates, bounds and weights."""

from pinwheel.recipes.recipe import Recipe
from pinwheel.specs import L1, Dense, Model, Preprocessing, Recurrent, Resources, Softmax, Training, TrainSpec

PASSES = 11
BATCH = 10
# The authors' rate is for the sum over a batch of 5 times this energy.
RATE = 5e-3 * BATCH * 5

DRSAE_PAPER = Recipe(
    name="drsae-paper",
    title="DrSAE, the original procedure",
    summary=(
        "The recipe `drsae` as its authors trained it: stochastic gradients without momentum, ten inputs a step, no "
        "dropout, a hundred epochs without labels and a thousand with them."
    ),
    paper="J. T. Rolfe and Y. LeCun, Discriminative Recurrent Sparse Auto-Encoders, ICLR 2013, arXiv:1301.3775",
    needs_labels=True,
    dataset="digits",
    cost="1100 epochs of 20 000 digits with 400 units and 11 passes: about three hours on two CPU cores",
    spec=TrainSpec(
        preprocessing=Preprocessing(scale="unit-norm"),
        model=Model(
            connection=Dense(units=400, max_norm=1.0),
            encoder=Recurrent(
                passes=PASSES, total_step=1.25, rate_multiplier=1 / PASSES, bias_rate_multiplier=1 / PASSES
            ),
            sparsity=L1(weight=0.018),
            classifier=Softmax(weight=0.2, max_norm=5.0, rate_multiplier=0.2),
        ),
        training=Training(
            epochs=1100,
            batch_size=BATCH,
            optimizer="sgd",
            learning_rate=RATE,
            schedule="inverse",
            decay=5e-6,
            unsupervised_fraction=1 / 11,
        ),
        resources=Resources(),
    ),
)
