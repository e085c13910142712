"""What each process of `test_gans_distributed` does with every model: two iterations."""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from tiny_runs import tiny_images

from gandetect.gans import MODELS, Images, Trainer, preset
from gandetect.gans.preparing import prepared

ITERATIONS = 2


def small(name):
    """The smoke preset, with all of its phases in the first iterations."""
    config = preset(name, "smoke")
    early = {"batch": 4, "r1_every": 1, "path_every": 1, "code_steps": 1, "steps": ITERATIONS}
    return replace(config, **{key: v for key, v in early.items() if hasattr(config, key)})


def images_for(config):
    found = tiny_images(24, config.size, config.channels)
    labels = torch.arange(24) % max(getattr(config, "classes", 0), 1)
    sources = [f"photo{n // 4}" for n in range(24)]
    return Images(found.images, found.card(), labels, sources=sources)


def main(folder: Path) -> None:
    kept = {}
    for name in MODELS:
        config = small(name)
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
