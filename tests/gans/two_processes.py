"""What each process of `test_gans_distributed` does: one phase with its gradients, then a run."""

import os
import sys
from pathlib import Path
from typing import Any

import torch
from tiny_runs import tiny, tiny_images

from gandetect.gans import train
from gandetect.gans.training import Trainer


def main(folder: Path) -> None:
    kept = one_iteration()
    train("dcgan", tiny(steps=3, norm="none"), tiny_images(), folder / "run")
    kept["threads"] = names_of_threads()
    torch.save(kept, folder / f"rank{os.environ['RANK']}.pt")


def one_iteration() -> dict[str, Any]:
    """Of a DCGAN: what it saw and drew, and its weights before and after."""
    trainer = Trainer("dcgan", tiny(norm="none"), tiny_images())
    model = trainer.model
    start = {k: v.clone() for k, v in model.state_dict().items()}
    images = []
    drawn_from = trainer.data.batch
    trainer.data.batch = lambda count: images.append(drawn_from(count)) or images[-1]
    generate, drawn = model.generate, []
    model.generate = lambda *given: drawn.append(generate(*given)) or drawn[-1]
    trainer.iterate()
    return {
        "start": start,
        "images": images[0]["images"],
        "drawn": drawn[0].detach(),
        "gradients": [p.grad for p in model.discriminator.parameters()],
        "weights": {k: v for k, v in model.state_dict().items() if "running" not in k},
    }


def names_of_threads() -> list[str]:
    """Of this process's threads, where the system is a Linux."""
    return [task.read_text().strip() for task in Path("/proc/self/task").glob("*/comm")]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
