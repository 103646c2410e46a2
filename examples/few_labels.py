"""Thirty labels per class: features that were learned without labels against raw pixels.

    python examples/few_labels.py [http://127.0.0.1:8000]

`SparseEncoder` learns convolutional features from 1000 digits and looks at no label. The same linear classifier then
gets 300 labelled digits, once as pixels and once as features. Needs scikit-learn.
"""

import sys

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler

import pinwheel
from pinwheel.builtin import BUILTIN

URL = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
LABELS_PER_CLASS = 30


def digits(part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images of 14 × 14 pixels, each the mean of four, and labels."""
    with np.load(BUILTIN[part]) as archive:
        images, labels = archive["images"], archive["labels"]
    return images.reshape(-1, 14, 2, 14, 2).mean((2, 4)).astype(np.uint8), labels


images, labels = digits("digits")
unseen, truth = digits("digits-test")
few = np.concatenate([np.flatnonzero(labels == digit)[:LABELS_PER_CLASS] for digit in range(10)])

encoder = pinwheel.SparseEncoder(
    "conv-group",
    units=24,
    weight=0.3,
    epochs=3,
    learning_rate=0.01,
    base_url=URL,
    spec={
        "model": {
            "connection": {"kernel_size": 5, "update": "adam"},
            "encoder": {"kind": "feedforward"},
            "sparsity": {"window": 4, "window_stride": 2},
        }
    },
)
encoder.fit(np.concatenate([images[few], images[:700]]))

pixels = FunctionTransformer(lambda pictures: pictures.reshape(len(pictures), -1) / 255)
for name, transformer in {"raw pixels": pixels, "sparse features": encoder}.items():
    seen, new = (MaxAbsScaler().fit_transform(transformer.transform(some)) for some in (images[few], unseen))
    classifier = LogisticRegression(max_iter=1000).fit(seen, labels[few])
    print(f"{name:16} {np.mean(classifier.predict(new) != truth):6.1%} of {len(unseen)} unseen digits are wrong")
