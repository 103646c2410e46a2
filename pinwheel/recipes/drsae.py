"""DrSAE: the discriminative recurrent sparse auto-encoder (Rolfe and LeCun, ICLR 2013, arXiv 1301.3775)."""

from pinwheel.recipes.recipe import Recipe
from pinwheel.specs import L1, Dense, Model, Preprocessing, Recurrent, Resources, Softmax, Training, TrainSpec

DRSAE = Recipe(
    name="drsae",
    title="Discriminative recurrent sparse auto-encoder",
    summary=(
        "A recurrent encoder with rectified units, trained to reconstruct through an L1 penalty and then to classify. "
        "Units become parts (pen strokes) and, with labels, categories (whole digits)."
    ),
    paper="J. T. Rolfe and Y. LeCun, Discriminative Recurrent Sparse Auto-Encoders, ICLR 2013, arXiv:1301.3775",
    needs_labels=True,
    dataset="digits",
    cost="60 epochs of 60 000 digits with 400 units and 11 passes: about 20 minutes on two CPU cores",
    spec=TrainSpec(
        preprocessing=Preprocessing(scale="unit-norm"),
        model=Model(
            connection=Dense(units=400, max_norm=1.0),
            encoder=Recurrent(passes=11, total_step=1.25, rate_multiplier=0.1, tied_without_labels=True),
            sparsity=L1(weight=0.018),
            classifier=Softmax(weight=0.1, dropout=0.4),
        ),
        training=Training(
            epochs=60,
            batch_size=100,
            learning_rate=3e-3,
            schedule="cosine",
            unsupervised_fraction=0.1,
            input_dropout=0.1,
            adversarial_norm=0.08,
        ),
        resources=Resources(),
    ),
)
