"""Linear maps between inputs and units, one file each."""

from worker.sparse.connections.dense import Dense, draw_dictionary

__all__ = ["Dense", "draw_dictionary"]
