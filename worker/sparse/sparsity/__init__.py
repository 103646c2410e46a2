"""Penalties on codes, one file each."""

from worker.sparse.sparsity.inhibition import Inhibition
from worker.sparse.sparsity.l1 import L1
from worker.sparse.sparsity.noise import Noise
from worker.sparse.sparsity.penalty import Penalty
from worker.sparse.sparsity.pool_norm import PoolNorm
from worker.sparse.sparsity.pools import Pools
from worker.sparse.sparsity.spatial_pools import SpatialPools
from worker.sparse.sparsity.tree import Tree

__all__ = ["L1", "Inhibition", "Noise", "Penalty", "PoolNorm", "Pools", "SpatialPools", "Tree"]
