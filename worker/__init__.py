"""The trainer: Celery tasks around a torch core. It knows nothing of HTTP."""

import os

# Threads of OpenMP wait for each other by spinning. Where something else wants a core too (the server, another worker)
# they spin against it: with one busy neighbour on two cores a training ran at a twentieth of its speed. A short spin is
# as fast on a quiet machine and loses only a third on a busy one (benchmarks/results). Read when torch loads libgomp.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
