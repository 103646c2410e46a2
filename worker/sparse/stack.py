"""Layers from the image up: each sees what the features of the one below differ from their mean, all times one number.

    x₀ = the input        x_k = s_k (features_{k−1}(encode_{k−1}(x_{k−1})) − μ_k)

μ is one number for each group of units: features are ≥ 0, and what is the same everywhere is nothing to learn.

The stacked auto-encoder of LeCun's lecture 9.1: features are the L2 pools of a code where a layer pools, else the code.
No decoder is needed on the way up. On the way down a pool says how strong its units are together, and the code that was
found on the way up says which of them: z ← z · mean over its pools of (wanted / found).
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from worker.sparse.autoencoder import Autoencoder
from worker.sparse.connections import Connection
from worker.sparse.sparsity import PoolNorm

CODES_AT_ONCE = 2**24  # numbers of the codes that are found at once where pictures are made


class Between(nn.Module):
    """What a layer sees of the features of the one below: `mean` (channels,), one for each number at a place; `scale`
    ()."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def up(self, features: Tensor) -> Tensor:
        """(batch, features) → (batch, inputs)"""
        return ((features.view(len(features), -1, len(self.mean)) - self.mean) * self.scale).flatten(1)

    def down(self, inputs: Tensor) -> Tensor:
        """The inverse of `up`."""
        return (inputs.view(len(inputs), -1, len(self.mean)) / self.scale + self.mean).flatten(1)

    def difference_down(self, inputs: Tensor) -> Tensor:
        """What a difference between two inputs is between their features: `down` without the mean."""
        return inputs / self.scale


class Stack(nn.Module):
    """`layers` from the image up, and what is `between` each and the next, one less."""

    def __init__(self, layers: Sequence[Autoencoder], between: Sequence[Between] = ()) -> None:
        super().__init__()
        if len(between) != len(layers) - 1:
            raise ValueError(f"{len(layers)} layers have {len(layers) - 1} places between them, not {len(between)}")
        for below, above in itertools.pairwise(layers):
            if above.connection.inputs != below.num_features:
                raise ValueError(
                    f"a layer takes {above.connection.inputs} inputs; the one below gives {below.num_features}"
                )
        self.layers = nn.ModuleList(layers)
        self.between = nn.ModuleList(between)

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def longest(self) -> int:
        """Numbers of the longest code of a layer."""
        return max(model.units for model in self.models)

    @property
    def models(self) -> list[Autoencoder]:
        """The layers, from the image up."""
        return [self.layer(number) for number in range(len(self))]

    def layer(self, number: int | None = None) -> Autoencoder:
        """Counted from the image, 0 first; None is the top."""
        found = self.layers[-1 if number is None else number]
        assert isinstance(found, Autoencoder)
        return found

    def under(self, layer: int) -> Between:
        """What is between the layer below that one and itself."""
        found = self.between[layer - 1]
        assert isinstance(found, Between)
        return found

    def up_to(self, layer: int) -> "Stack":
        """The layers below that one, the same modules."""
        numbers = range(layer)
        return Stack([self.layer(each) for each in numbers], [self.under(each) for each in numbers if each > 0])

    def encode(self, x: Tensor, layer: int | None = None, passes: int | None = None) -> Tensor:
        """(batch, inputs) → the code of that layer. `passes` replaces the number of passes there."""
        *_, (code, _) = self._up(x, layer, passes)
        return code

    def features(self, x: Tensor, layer: int | None = None, passes: int | None = None) -> Tensor:
        """(batch, inputs) → what that layer answers, (batch, features)"""
        return self.layer(layer).features(self.encode(x, layer, passes))

    def logits(self, x: Tensor, passes: int | None = None) -> Tensor:
        """(batch, inputs) → (batch, classes). Raises ValueError where there is no classifier."""
        top = self.layer()
        if top.classifier is None:
            raise ValueError("this model has no classifier; it can encode and reconstruct")
        return top.classifier.logits(self.features(x, None, passes))

    def reconstruct(
        self, x: Tensor, layer: int | None = None, passes: int | None = None, topk: int | None = None
    ) -> Tensor:
        """(batch, inputs) → (batch, inputs): what the code of that layer keeps of them, or its `topk` largest numbers
        by amount alone."""
        *codes, code = [code for code, _ in self._up(x, layer, passes)]
        code = code if topk is None else largest(code, topk)
        inputs = self.layer(layer).connection.decode(code)
        return self._down(self.under(len(codes)).down(inputs), codes, Between.down) if codes else inputs

    def _up(self, x: Tensor, layer: int | None, passes: int | None) -> Iterator[tuple[Tensor, Autoencoder]]:
        """The code of every layer up to that one, with it."""
        last = len(self) - 1 if layer is None else layer
        for number in range(last + 1):
            model = self.layer(number)
            x = x if number == 0 else self.under(number).up(x)
            code = model.encode(x, passes if number == last else None)
            yield code, model
            x = x if number == last else model.features(code)

    def _down(
        self, features: Tensor, codes: Sequence[Tensor], to_features: Callable[[Between, Tensor], Tensor]
    ) -> Tensor:
        """From the features (batch, …) of the top one of the layers that gave `codes` to the inputs of the first;
        `to_features` takes the inputs of a layer to the features of the one below."""
        for number in reversed(range(len(codes))):
            model = self.layer(number)
            features = model.connection.decode(unpooled(model, codes[number], features))
            features = features if number == 0 else to_features(self.under(number), features)
        return features

    @torch.no_grad()
    def pictures(self, rows: Tensor, connection: Connection, between: Between, examples: Tensor) -> Tensor:
        """(filters, height, width, channels): what filters of a layer above all of these stand for in the input.

        `rows` in the shape of an encoder of `connection`, which sees the features of this stack through `between`.
        Of `examples` (n, inputs) the one, and the place in it, that a filter answers to most says which units of each
        pool carry it down; so that a filter in the features becomes one pattern, not the mean of all that it pools.
        A picture is the difference that the filter makes: without the means of the layers, linear in the filter.
        """
        example, unit = self._strongest(rows, connection, between, examples)
        dictionary = rows.t() if rows.dim() == 2 else rows
        some = max(1, CODES_AT_ONCE // max(self.longest, connection.units))
        written, seen = [], []
        for places, chosen in zip(torch.split(unit, some), torch.split(example, some), strict=True):
            codes = [code for code, _ in self._up(examples[chosen], None, None)]
            at = torch.zeros(len(places), connection.units, device=rows.device).scatter_(1, places[:, None], 1.0)
            seen.append(self._reached(connection.decode(at, torch.ones_like(dictionary))))
            written.append(self._down(connection.decode(at, dictionary), codes, Between.difference_down))
        return self._cropped(torch.cat(written), torch.cat(seen))

    def _strongest(
        self, rows: Tensor, connection: Connection, between: Between, examples: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(filters,) the example, and (filters,) the unit of it, where each filter is strongest."""
        filter_of = connection.spread(torch.arange(connection.filters, device=rows.device).float()).long()
        units = torch.arange(connection.units, device=rows.device)
        best = torch.full((connection.filters,), -torch.inf, device=rows.device)
        example, unit = (torch.zeros_like(filter_of[: connection.filters]) for _ in range(2))
        some = max(1, CODES_AT_ONCE // max(self.longest, connection.units, connection.inputs))
        for start in range(0, len(examples), some):
            given = between.up(self.features(examples[start : start + some]))
            strongest, which = connection.encode(rows, given).max(0)
            found = torch.full_like(best, -torch.inf).scatter_reduce_(0, filter_of, strongest, "amax")
            candidates = torch.where(strongest == found[filter_of], units, len(units) - 1)
            place = torch.full_like(unit, len(units) - 1).scatter_reduce_(0, filter_of, candidates, "amin")
            better = found > best
            best = torch.where(better, found, best)
            unit = torch.where(better, place, unit)
            example = torch.where(better, start + which[place], example)
        return example, unit

    def _reached(self, features: Tensor) -> Tensor:
        """(n, inputs) positive where these features of the top (n, …), where positive, can reach, whatever the code."""
        for number in reversed(range(len(self))):
            model = self.layer(number)
            reached = (features > 0).to(features.dtype)
            if model.pooling:
                assert isinstance(model.sparsity, PoolNorm)
                reached = model.sparsity.touched(reached)
            features = model.connection.decode(reached, torch.ones_like(model.connection.dictionary))
        return features

    @torch.no_grad()
    def reach(self, connection: Connection, units: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """(n, 2) top and left, and the common sides, of the windows of the input that `units` (n,) of `connection`, on
        the features of this stack, can see."""
        ones = torch.ones_like(connection.dictionary)
        some, seen = max(1, CODES_AT_ONCE // max(self.longest, connection.units)), []
        for piece in torch.split(units, some):
            at = torch.zeros(len(piece), connection.units, device=ones.device).scatter_(1, piece[:, None], 1.0)
            seen.append(self._reached(connection.decode(at, ones)))
        places = (torch.cat(seen).view(-1, *self.layer(0).connection.image) > 0).any(3)
        (tops, height), (lefts, width) = extent(places.any(2)), extent(places.any(1))
        return torch.stack([tops, lefts], 1), (height, width)

    def _cropped(self, inputs: Tensor, seen: Tensor) -> Tensor:
        """(n, height, width, channels) of each of `inputs` (n, inputs) the window that is `seen`."""
        shape = self.layer(0).connection.image
        images, places = inputs.view(-1, *shape), (seen.view(-1, *shape) > 0).any(3)
        (tops, height), (lefts, width) = extent(places.any(2)), extent(places.any(1))
        rows = tops[:, None] + torch.arange(height, device=tops.device)
        columns = lefts[:, None] + torch.arange(width, device=lefts.device)
        numbers = torch.arange(len(images), device=tops.device)
        return images[numbers[:, None, None], rows[:, :, None], columns[:, None, :]]


def extent(held: Tensor) -> tuple[Tensor, int]:
    """Of `held` (n, length) bool: the first place of each row, and the length that holds all of any row."""
    length = held.shape[1]
    places = torch.arange(length, device=held.device)
    first = torch.where(held, places, length).amin(1)
    size = max(1, int((torch.where(held, places, -1).amax(1) - first).max()) + 1)
    return first.clamp_max(length - size), size


def largest(code: Tensor, topk: int) -> Tensor:
    """(batch, units) with all but the `topk` largest of each row by amount 0; of equal ones the first is kept."""
    if topk >= code.shape[1]:
        return code
    chosen = code.abs().argsort(dim=1, descending=True, stable=True)[:, :topk]
    return torch.zeros_like(code).scatter_(1, chosen, code.gather(1, chosen))


def unpooled(model: Autoencoder, code: Tensor, features: Tensor) -> Tensor:
    """(batch, units): the code that gives `features` (batch, features), as near to `code` as they leave it."""
    if not model.pooling:
        return features
    assert isinstance(model.sparsity, PoolNorm)
    pools = model.sparsity
    found = pools.pooled(code)
    ratios = torch.where(found > 0, features / found.clamp_min(torch.finfo(found.dtype).tiny), 0)
    return code * pools.touched(ratios) / pools.touched(torch.ones_like(ratios))
