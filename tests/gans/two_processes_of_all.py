"""What each process of `test_gans_distributed` does with every model: two iterations."""

import sys
from pathlib import Path

import torch
from small_presets import images_for, small

from gandetect.gans import MODELS, Trainer
from gandetect.gans.preparing import prepared

ITERATIONS = 2


def main(folder: Path) -> None:
    kept = {}
    for name in MODELS:
        config = small(name, ITERATIONS)
        trainer = Trainer(name, config, prepared(name, config, images_for(config)))
        start = {k: v.detach().clone() for k, v in trainer.model.named_parameters()}
        for _ in range(ITERATIONS):
            trainer.iterate()
        weights = {k: v.detach() for k, v in trainer.model.named_parameters()}
        moved = [k for k, v in weights.items() if not torch.equal(v, start[k])]
        kept[name] = {"weights": weights, "moved": moved}
    torch.save(kept, folder / f"rank{trainer.parallel.rank}.pt")
    trainer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
