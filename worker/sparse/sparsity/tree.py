"""Tree-structured sparsity: weight · Σ_g ‖z_g‖, a group for every unit together with all its descendants.

Jenatton, Mairal, Obozinski and Bach, JMLR 12, 2011. A unit is active only where its ancestors are (where codes are not
to be negative, an ancestor may be held at zero by that alone). Two groups are nested or disjoint, so the proximal
operator is the composition of those of the groups, every group after the groups that it contains (theorem 1 there);
root first it is something else. For L2 norms it takes one pass up, with the norm of each group after its own
shrinkage, and one pass down along the paths (algorithm 3).
"""

import torch
from torch import Tensor

from worker.sparse.sparsity.penalty import Penalty, root

# Halvings of the interval in which the scale of a dual point lies: a gap is measured no finer than they are.
HALVINGS = {torch.float32: 12, torch.float64: 45}


class Tree(Penalty):
    """`parent` (units,), −1 for roots; `norm` is `l2` or `linf`. Units that are not `kept` are cut: never active."""

    exact_prox = True
    parent: Tensor
    kept: Tensor

    def __init__(self, parent: Tensor, weight: float, norm: str = "l2", kept: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("parent", parent, persistent=False)
        self.register_buffer("kept", torch.ones(len(parent), dtype=torch.bool) if kept is None else kept)
        levels = levels_of(parent)
        self.depth = len(levels)
        for number, level in enumerate(levels):
            self.register_buffer(f"level{number}", level, persistent=False)
        for number, members in enumerate(descendants(parent, levels) if norm == "linf" else []):
            self.register_buffer(f"members{number}", members, persistent=False)
        self.weight = weight
        self.norm = norm

    @property
    def levels(self) -> list[Tensor]:
        """Units by depth, roots first."""
        return [getattr(self, f"level{number}") for number in range(self.depth)]

    @property
    def members(self) -> list[Tensor]:
        """By depth, every unit of each group (units of the level, most), filled up with −1; for `linf`."""
        return [getattr(self, f"members{number}") for number in range(self.depth)]

    def energies(self, code: Tensor, x: Tensor | None = None) -> Tensor:
        return self.weight * self.norms(code).sum(1)

    def norms(self, code: Tensor) -> Tensor:
        """‖z_g‖ of every unit's group (batch, units)"""
        if self.norm == "l2":
            return root(self._subtree_sums(code.square()))
        magnitudes = code.abs()
        found = torch.empty_like(magnitudes)
        for level, members in zip(self.levels, self.members, strict=True):
            found[:, level] = magnitudes[:, members.clamp_min(0)].where(members >= 0, 0).amax(2)
        return found

    def prox(self, v: Tensor, step: float) -> Tensor:
        """argmin_z 1/2 ‖z − v‖² + step · energies(z)"""
        v = v * self.kept
        if self.norm == "l2":
            return self._l2_prox(v, step * self.weight)
        return self._linf_prox(v, step * self.weight)

    def descend(self, u: Tensor, around: Tensor, lipschitz: float) -> Tensor:
        return self.prox(u, 1 / lipschitz)

    def dual_scale(self, v: Tensor) -> Tensor:
        """The ball of the dual norm is what the proximal operator sends to zero: a search by halving, from below.

        With every entry within the weight a point is inside: its own group carries each. With an entry above the
        weight times the number of groups that hold it, it is outside.
        """
        v = v * self.kept
        inside = (self.prox(v, 1.0) == 0).all(1, keepdim=True)
        largest = v.abs().amax(1, keepdim=True).clamp_min(self.weight or 1e-300)
        low = self.weight / largest
        high = (low * self.depth).clamp_max(1)
        for _ in range(HALVINGS[v.dtype]):
            middle = (low + high) / 2
            zero = (self.prox(v * middle, 1.0) == 0).all(1, keepdim=True)
            low, high = torch.where(zero, middle, low), torch.where(zero, high, middle)
        return torch.where(inside, 1, low)

    def prune(self, usage: Tensor, least: float) -> Tensor:
        """Cut every branch with no unit whose `usage` (units,) reaches `least`; returns the units cut now."""
        used = usage.to(self.kept.device).clone()
        for level in reversed(self.levels[1:]):
            used.scatter_reduce_(0, self.parent[level], used[level], "amax")
        kept = self.kept & (used >= least)
        for level in self.levels[1:]:
            kept[level] &= kept[self.parent[level]]
        if not bool(kept.any()):
            kept[self.levels[0][used[self.levels[0]].argmax()]] = True  # something has to be left
        cut = (self.kept & ~kept).nonzero().reshape(-1)
        self.kept.copy_(kept)
        return cut

    def _subtree_sums(self, values: Tensor) -> Tensor:
        for level in reversed(self.levels[1:]):
            values = values.index_add(1, self.parent[level], values[:, level])
        return values

    def _l2_prox(self, v: Tensor, threshold: float) -> Tensor:
        rows = v.t().contiguous()  # a row for each unit: levels are then few and large pieces of memory
        squares, shares, levels = rows.square(), torch.empty_like(rows), self.levels
        for number in range(self.depth - 1, -1, -1):
            level = levels[number]
            norms = squares[level].sqrt_()
            share = (1 - threshold / norms.clamp_min(torch.finfo(v.dtype).tiny)).clamp_min_(0)
            shares[level] = share
            if number > 0:
                squares.index_add_(0, self.parent[level], norms.mul_(share).square_())
        for level in levels[1:]:
            shares[level] *= shares[self.parent[level]]
        return rows.mul_(shares).t().contiguous()

    def _linf_prox(self, v: Tensor, threshold: float) -> Tensor:
        if threshold == 0:
            return v
        code = torch.cat([v, v.new_zeros(len(v), 1)], 1)  # the last column stands for members that are not there
        for members in reversed(self.members):
            group = code[:, members.clamp_min(0)].where(members >= 0, 0)
            code[:, members] = group - onto_l1_ball(group, threshold)
        return code[:, :-1].contiguous()


def onto_l1_ball(v: Tensor, radius: float) -> Tensor:
    """The nearest point with ‖·‖₁ ≤ radius along the last dimension (Duchi, Shalev-Shwartz, Singer, Chandra 2008)."""
    magnitudes = v.abs()
    descending = magnitudes.sort(-1, descending=True).values
    sums = descending.cumsum(-1) - radius
    counts = torch.arange(1, v.shape[-1] + 1, dtype=v.dtype, device=v.device)
    active = (descending * counts > sums).sum(-1, keepdim=True).clamp_min(1)
    threshold = (sums.gather(-1, active - 1) / active).clamp_min(0)
    return v.sign() * (magnitudes - threshold).clamp_min(0)


def levels_of(parent: Tensor) -> list[Tensor]:
    """Units by depth, roots first. Raises ValueError where parents form a cycle."""
    level = (parent < 0).nonzero().reshape(-1)
    levels = []
    while len(level):
        levels.append(level)
        level = torch.isin(parent, level).nonzero().reshape(-1)
        if len(levels) > len(parent):
            break
    if sum(map(len, levels)) != len(parent):
        raise ValueError("the parents form a cycle: not every unit descends from a root (parent −1)")
    return levels


def descendants(parent: Tensor, levels: list[Tensor]) -> list[Tensor]:
    """By depth, (tops, most): every unit of each top's group, itself included, filled up with −1."""
    groups = {unit: [unit] for unit in range(len(parent))}
    for level in reversed(levels[1:]):
        for unit in level.tolist():
            groups[int(parent[unit])] += groups[unit]
    padded = []
    for level in levels:
        most = max(len(groups[unit]) for unit in level.tolist())
        rows = [groups[unit] + [-1] * (most - len(groups[unit])) for unit in level.tolist()]
        padded.append(torch.tensor(rows))
    return padded
