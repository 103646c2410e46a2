"""Learn hand-written digits with their labels, look at the filters, and read digits that were never seen.

    python examples/digits.py [http://127.0.0.1:8000]

Writes digits-filters.png and digits-reconstruction.png into the current folder.
"""

import sys
from pathlib import Path

import numpy as np

import pinwheel
from pinwheel.builtin import BUILTIN
from pinwheel.pictures.images import comparison
from pinwheel.pictures.mosaic import encode_png

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"

with np.load(BUILTIN["digits"]) as archive:
    images, labels = archive["images"][:4000], archive["labels"][:4000]
with np.load(BUILTIN["digits-test"]) as archive:
    unseen, truth = archive["images"], archive["labels"]

with pinwheel.Client(URL) as client:
    dataset = client.create_dataset(images, labels, name="example-digits")
    job = client.train(
        recipe="drsae",
        dataset=dataset,
        model={"connection": {"units": 100}, "encoder": {"passes": 5}, "sparsity": {"weight": 0.03}},
        training={"epochs": 8, "learning_rate": 0.01, "unsupervised_fraction": 0.4},
        publish_as="example-digits",
    )
    job.wait(progress=True)
    model = client.model(job.model)

    Path("digits-filters.png").write_bytes(model.filters(order="usage", cols=20, scale=2))
    some = unseen[:12, ..., None]
    Path("digits-reconstruction.png").write_bytes(encode_png(comparison(some, model.reconstruct(some))))

    features = model.encode(unseen, sparse=True)
    found = model.classify(unseen)

error = np.mean(np.array(found.predictions) != truth)
print(f"{features.shape[1]} features of an image, {features.nnz / len(unseen):.1f} of them active")
print(f"{error:.1%} of {len(unseen)} unseen digits are taken for another")
