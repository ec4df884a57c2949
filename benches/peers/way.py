"""One way of one library to compute a row."""

from dataclasses import dataclass
from typing import Callable


@dataclass(eq=False)
class Way:
    """`call` does the work once, `answer` gives its numbers as eigenflow's cases do, `finish` waits for the last call."""

    library: str
    name: str
    call: Callable
    answer: Callable
    finish: Callable = lambda: None

    def __str__(self):
        return f"{self.library}: {self.name}"
