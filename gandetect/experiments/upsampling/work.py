"""What every stage of the experiment is given besides its subject."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gandetect.detect.networks.training import Progress
from gandetect.experiments.upsampling.plan import Effort
from gandetect.experiments.upsampling.steps import Steps


@dataclass(frozen=True)
class Work:
    """Where results go, how much is done for them, and who is told of it.

    `folder`: of the experiment. `threads`: of the forests; torch has its own number.
    """

    folder: Path
    steps: Steps
    effort: Effort
    seed: int = 0
    threads: int = 1
    progress: Progress | None = None

    def tell(self, what: str, done: int = 0, total: int = 1) -> None:
        """Say what is being done, how many are done, and of how many."""
        if self.progress:
            self.progress(what, done, total)
