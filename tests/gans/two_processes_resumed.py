"""What each process of `test_gans_distributed` does: a run of four iterations that may be stopped.

Arguments: a folder, the name of the run in it, and the iteration before which the second process
is sent SIGINT (-1 for never).
"""

import os
import signal
import sys
from pathlib import Path

import torch
from tiny_runs import tiny, tiny_images

from gandetect.gans import train
from gandetect.gans.training import Settings, Trainer


def main(folder: Path, name: str, interrupted_at: int) -> None:
    # A suite that runs in the background inherits SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    data, rank = tiny_images(), int(os.environ["RANK"])
    drawn, drawn_from, taken = [], data.batch, Trainer.iterate
    data.batch = lambda count: drawn.append(drawn_from(count)) or drawn[-1]

    def iterate(self: Trainer) -> dict[str, float]:
        if self.step == interrupted_at and rank == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return taken(self)

    Trainer.iterate = iterate
    stopped = False
    try:
        settings = Settings(save_every=100)
        train("dcgan", tiny(steps=4), data, folder / name, settings=settings)
    except KeyboardInterrupt:
        stopped = True
    kept = {"stopped": stopped, "images": drawn[-1]["images"]}
    torch.save(kept, folder / f"{name}-rank{rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
