"""Runs of a few iterations for tests of drawing: their checkpoints are real, their images poor."""

from dataclasses import replace

import torch
from tiny_runs import tiny, tiny_images

from gandetect.gans import Images, preset, train
from gandetect.gans.checkpoints import NAME
from gandetect.gans.preparing import prepared


def tiny_run(folder, **changes):
    """A DCGAN of 8 pixels after two iterations; returns the checkpoint."""
    config = tiny(steps=2, **changes)
    train("dcgan", config, tiny_images(channels=config.channels), folder)
    return folder / NAME


def conditional_run(folder, classes=3):
    """A conditional SNGAN of 8 pixels after two iterations; returns the checkpoint."""
    config = replace(
        preset("sngan", "smoke"),
        **{"size": 8, "widths": (4, 4), "d_widths": (4, 4), "d_downs": 1, "latent": 4},
        **{"classes": classes, "batch": 6, "steps": 2},
    )
    labels = torch.arange(24) % classes
    data = Images(tiny_images().images, {"name": "smooth"}, labels)
    train("sngan", config, data, folder)
    return folder / NAME


def brief_run(name, folder):
    """Model `name` after one iteration of its `smoke` preset; returns the checkpoint."""
    config = replace(preset(name, "smoke"), steps=1, batch=2)
    images = tiny_images(size=config.size).images
    stems = [str(number) for number in range(len(images))]
    data = prepared(name, config, Images(images, {"name": "smooth"}, sources=stems))
    train(name, config, data, folder)
    return folder / NAME


def contents(folder):
    """Every file of a folder by its name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
