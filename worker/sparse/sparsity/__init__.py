"""Penalties on codes, one file each."""

from worker.sparse.sparsity.l1 import L1

__all__ = ["L1"]
