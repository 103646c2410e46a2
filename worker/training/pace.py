"""How fast a training goes, over the last seconds."""

import time
from collections import deque

WINDOW_SECONDS = 10.0


class Pace:
    def __init__(self) -> None:
        self.marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def mark(self, samples: int) -> None:
        """`samples` have been learned from since the start."""
        now = time.monotonic()
        self.marks.append((now, samples))
        while len(self.marks) > 2 and now - self.marks[1][0] > WINDOW_SECONDS:
            self.marks.popleft()

    def samples_per_second(self) -> float:
        (first, before), (last, after) = self.marks[0], self.marks[-1]
        return (after - before) / max(last - first, 1e-9)
