"""What explains the units of a recurrent encoder: parts and categories, and how their codes come about pass by pass.

    angle_i            between row i of E and column i of D, both times the root mean square of each input
    plain_angle_i      between them as they are
    explaining_away    S − I               overlap   Dᵀ D
    switched_late_i    P(z¹_i = 0 and z²_i ≠ 0)
    optimal decoders   Dᵗ = argmin Σ ‖x − Dᵗ zᵗ‖²

Rolfe and LeCun, ICLR 2013, sections 3 and 4, where the angle is the plain one. From inputs that are almost always zero
E learns nothing and keeps noise of its start (with Adam, on digits, a fifth of its norm²); D loses it. Weighted by what
comes in it does not count.

Measured on some of the inputs that the metrics are computed on. A value that does not exist is NaN. Pictures of inputs
are those of the lowest layer alone: what a layer above another sees is no image.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pinwheel.pictures.unit_kinds import CATEGORICAL
from worker.data.inputs import Source
from worker.sparse.autoencoder import Autoencoder
from worker.sparse.measures import angles
from worker.training.evaluate import MOST_CODES
from worker.training.publish import Pictured, picture

MOST_UNITS = 2048  # of which pairs are told
MEASURED_INPUTS = 5000
MOST_PARTS, MOST_CATEGORICAL, MOST_PASSES = 8, 10, 12  # that have optimal decoders
MOST_PRODUCTS = 2**25  # numbers of all products of codes, of all passes together
MOST_EXAMPLES, MOST_CLASSES = 8, 20
RIDGE = 1e-3  # share of the mean square of a code


@dataclass(frozen=True)
class Passes:
    """Over the inputs. `active`, `mean_active`, `switched_late` (units,): the share that has a unit on in the end, the
    mean |z| where it is, the share that switches it on in the second pass. `mean_square` (inputs,) of what comes in.
    `products` (passes, units, units): mean zᵗ zᵗᵀ of the passes `shown`, from 0; of none where units are too many.
    """

    active: Tensor
    mean_active: Tensor
    switched_late: Tensor
    mean_square: Tensor
    shown: Tensor
    products: Tensor


def part_units(
    model: Autoencoder, inputs: Source, indices: Tensor, pictured: Pictured, classifier: Tensor | None
) -> dict[str, Tensor]:
    """What is told of the units in their file, measured on the first of `inputs` at `indices`; empty for a model whose
    units do not explain each other away directly. `classifier` (classes, features) is on the features of the model."""
    if model.recurrent is None:
        return {}
    some = indices[:MEASURED_INPUTS]
    passes, dictionary = tallied(model, inputs, some), model.connection.dictionary
    angle = angles(model.recurrent.encoder, dictionary.t(), passes.mean_square)
    found = {"angle": angle.float(), "plain_angle": angles(model.recurrent.encoder, dictionary.t()).float()}
    found |= {"mean_active": passes.mean_active, "switched_late": passes.switched_late}
    if model.units <= MOST_UNITS:
        found |= {"explaining_away": model.recurrent.explaining_away, "overlap": dictionary.t() @ dictionary}
    if classifier is not None and not model.pooling:
        found["classifier"] = classifier
    if pictured.under is not None:
        return found
    found |= examples(model, inputs, some, passes.shown, pictured) | class_means(inputs, some, pictured)
    if model.units <= MOST_UNITS:
        units = followed(angle, passes.active, found.get("classifier"))
        decoders = optimal_decoders(model, inputs, some, passes, units)
        shown = picture(model, decoders.flatten(0, 1).to(model.connection.dictionary), "decoder", pictured)
        found |= {"optimal_units": units, "optimal_decoders": halved(shown.view(*decoders.shape[:2], *shown.shape[1:]))}
    return found


def batches_of(model: Autoencoder, inputs: Source, indices: Tensor, passes: int) -> list[Tensor]:
    """`indices` in pieces whose codes of all passes fit."""
    some = max(1, min(inputs.chunk, MOST_CODES // (passes * model.units)))
    return list(torch.split(indices, some))


def tallied(model: Autoencoder, inputs: Source, indices: Tensor) -> Passes:
    assert model.recurrent is not None
    count, shown = model.recurrent.passes, shown_passes(model.recurrent.passes, model.units).to(inputs.device)
    sums = torch.zeros(3, model.units, dtype=torch.float64, device=inputs.device)
    squares = torch.zeros(inputs.size, dtype=torch.float64, device=inputs.device)
    pairs = (len(shown), model.units, model.units) if model.units <= MOST_UNITS else (0, 0, 0)
    products = torch.zeros(pairs, dtype=torch.float64, device=inputs.device)
    for piece in batches_of(model, inputs, indices, count):
        x, _ = inputs.take(piece)
        squares += x.double().square().sum(0)
        codes = model.progress(x)
        active = model.sparsity.active(codes)
        late = ~active[0] & active[1] if count > 1 else torch.full_like(codes[0], torch.nan)
        for row, values in enumerate((active[-1], codes[-1].abs(), late)):
            sums[row] += values.sum(0)
        for number in range(len(products)):
            code = codes[shown[number]].double()
            products[number].addmm_(code.t(), code)
    on, size, late = sums
    active, switched = on / len(indices), (late / len(indices)).float()
    return Passes(active, (size / on).float(), switched, squares / len(indices), shown, products / len(indices))


def shown_passes(passes: int, units: int) -> Tensor:
    """(≤ `MOST_PASSES`,) from 0: all of them or, of many, some that lie closer at the start, the last one included."""
    most = min(MOST_PASSES, max(1, MOST_PRODUCTS // units**2)) if units <= MOST_UNITS else MOST_PASSES
    if passes <= most:
        return torch.arange(passes)
    return torch.from_numpy(np.unique(np.geomspace(passes, 1, most).round().astype(np.int64))) - 1


def followed(angle: Tensor, active: Tensor, classifier: Tensor | None) -> Tensor:
    """(units,) the clearest parts, then the most categorical units, of a class one where there are classes."""
    order = angle.argsort(stable=True)
    order = order[active[order] > 0]
    parts = order[angle[order] <= CATEGORICAL][:MOST_PARTS]
    categorical = order[angle[order] > CATEGORICAL].flip(0).cpu().numpy()
    if classifier is not None:
        _, first = np.unique(classifier.argmax(0).cpu().numpy()[categorical], return_index=True)
        categorical = categorical[np.sort(first)]
    return torch.cat([parts.cpu(), torch.from_numpy(categorical[:MOST_CATEGORICAL].copy())])


def optimal_decoders(model: Autoencoder, inputs: Source, indices: Tensor, passes: Passes, units: Tensor) -> Tensor:
    """(passes, units, inputs) float64: of the decoders that fit best the codes of each pass the columns of `units`.

    With G = mean zᵗ zᵗᵀ these are mean x (zᵗᵀ G⁻¹ e_i): one solution for each unit, and one more look at the inputs.
    A unit that is never on in a pass has a column of zeros there.
    """
    assert model.recurrent is not None
    products, units = passes.products, units.to(inputs.device)
    ridge = RIDGE * products.diagonal(dim1=1, dim2=2).mean(1).clamp_min(torch.finfo(torch.float32).tiny)
    identity = torch.eye(model.units, dtype=torch.float64, device=inputs.device)
    # by Cholesky: several general matrices on several threads make torch 2.13 fail with "Pivots given to lu_solve"
    factor = torch.linalg.cholesky(products + ridge[:, None, None] * identity)
    wanted = torch.cholesky_solve(identity[:, units].expand(len(products), -1, -1), factor)
    found = torch.zeros(len(products), len(units), inputs.size, dtype=torch.float64, device=inputs.device)
    for piece in batches_of(model, inputs, indices, model.recurrent.passes):
        x, _ = inputs.take(piece)
        shares = model.progress(x)[passes.shown].double() @ wanted
        found += shares.transpose(1, 2) @ x.double()
    return found / len(indices)


def examples(
    model: Autoencoder, inputs: Source, indices: Tensor, shown: Tensor, pictured: Pictured
) -> dict[str, Tensor]:
    """`example_inputs` (examples, H, W, C) in pixels, `example_codes` (examples, passes, units) of `example_passes`
    (passes,), which count from 1, and, where there are classes, `example_labels` (examples,): the first input of each
    class, of some classes."""
    chosen = indices[:MOST_EXAMPLES]
    if inputs.labels is not None:
        labels = inputs.labels[indices].cpu().numpy()
        _, first = np.unique(labels, return_index=True)
        first = np.sort(first)[:MOST_EXAMPLES]
        chosen = indices[torch.from_numpy(first[np.argsort(labels[first])]).to(indices.device)]
    x, found_labels = inputs.take(chosen)
    codes = torch.cat([model.progress(row)[shown] for row in torch.split(x, 1)], 1).transpose(0, 1)
    found = {"example_inputs": in_pixels(x, pictured), "example_codes": codes, "example_passes": shown + 1}
    return found if found_labels is None else found | {"example_labels": found_labels}


def class_means(inputs: Source, indices: Tensor, pictured: Pictured) -> dict[str, Tensor]:
    """`class_means` (classes, H, W, C): of the first classes the mean input, in pixels; zeros where there is none."""
    if inputs.labels is None or inputs.dataset.classes is None:
        return {}
    classes = min(inputs.dataset.classes, MOST_CLASSES)
    sums = torch.zeros(classes, inputs.size, dtype=torch.float64, device=inputs.device)
    counts = torch.zeros(classes, dtype=torch.float64, device=inputs.device)
    for x, labels in inputs.batches(indices):
        assert labels is not None
        seen = labels < classes
        sums.index_add_(0, labels[seen], x[seen].double())
        counts += torch.bincount(labels[seen], minlength=classes)
    return {"class_means": in_pixels((sums / counts.clamp_min(1)[:, None]).float(), pictured)}


def in_pixels(x: Tensor, pictured: Pictured) -> Tensor:
    """(n, inputs) of the lowest layer → (n, H, W, C), as the filters are shown"""
    return halved(pictured.preprocessor.pictures(x.view(-1, *pictured.shape), "decoder"))


def halved(values: Tensor) -> Tensor:
    """As float16, whose largest number is below that of a decoder for codes near zero."""
    limit = torch.finfo(torch.float16).max
    return values.clamp(-limit, limit).half()
