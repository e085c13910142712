"""What each process of `test_gans_distributed` does: one phase with its gradients, then a run."""

import sys
from pathlib import Path

import torch
from tiny_runs import tiny, tiny_images

from gandetect.gans import train
from gandetect.gans.training import Trainer


def main(folder: Path) -> None:
    trainer = Trainer("dcgan", tiny(norm="none"), tiny_images())
    model, rank = trainer.model, trainer.parallel.rank
    start = {k: v.clone() for k, v in model.state_dict().items()}
    images = []
    drawn_from = trainer.data.batch
    trainer.data.batch = lambda count: images.append(drawn_from(count)) or images[-1]
    generate, drawn = model.generate, []
    model.generate = lambda *given: drawn.append(generate(*given)) or drawn[-1]
    trainer.iterate()
    kept = {
        "start": start,
        "images": images[0]["images"],
        "drawn": drawn[0].detach(),
        "gradients": [p.grad for p in model.discriminator.parameters()],
        "weights": {k: v for k, v in model.state_dict().items() if "running" not in k},
    }
    torch.save(kept, folder / f"rank{rank}.pt")
    train("dcgan", tiny(steps=3, norm="none"), tiny_images(), folder / "run")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
