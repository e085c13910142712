"""Every generative model by its name: one file here, one line in `MODELS`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gandetect.gans.config import Config
from gandetect.ops.conventions import member

if TYPE_CHECKING:
    from torch import Tensor

    from gandetect.gans.model import GenerativeModel

# name: module.Class, imported when it is asked for.
MODELS = {
    "gan": "gan.GAN",
    "dcgan": "dcgan.DCGAN",
    "lsgan": "lsgan.LSGAN",
    "wgan-gp": "wgan_gp.WGANGP",
    "dragan": "dragan.DRAGAN",
    "sngan": "sngan.SNGAN",
    "progan": "progan.ProGAN",
    "stylegan": "stylegan.StyleGAN",
    "stylegan2": "stylegan2.StyleGAN2",
    "mc2-stylegan2": "mc2_stylegan2.MC2StyleGAN2",
    "biggan": "biggan.BigGAN",
    "cyclegan": "cyclegan.CycleGAN",
    "gaugan": "gaugan.GauGAN",
    "unet": "unet.UNet",
    "autoencoder": "autoencoder.AutoEncoder",
    "vae": "vae.VAE",
    "cvae": "cvae.CVAE",
    "pixelcnn": "pixelcnn.PixelCNN",
    "pixelrnn": "pixelrnn.PixelRNN",
    "vqvae2": "vqvae2.VQVAE2",
}
PRESETS = ("smoke", "run")


def model_class(name: str) -> type[GenerativeModel]:
    """The class of model `name`; ValueError for an unknown one."""
    member("model", name, tuple(MODELS))
    module, _, attribute = MODELS[name].partition(".")
    found: type[GenerativeModel] = getattr(
        importlib.import_module(f"gandetect.gans.{module}"), attribute
    )
    return found


def preset(name: str, which: str = "run") -> Config:
    """The configuration `which` of model `name`; ValueError for an unknown name."""
    presets = model_class(name).presets
    return presets[member("preset", which, tuple(presets))]


def load_model(path: str | Path) -> GenerativeModel:
    """The model in a checkpoint, or in a run's folder, with its averaged weights, in eval mode.

    Raises ValueError where the file is no checkpoint, was changed, or holds an unknown model.
    """
    from gandetect.gans.checkpoints import NAME, Checkpoint, restore_module

    path = Path(path)
    checkpoint = Checkpoint.load(path / NAME if path.is_dir() else path)
    card = checkpoint.card
    if card["model"] not in MODELS:
        raise ValueError(f"{path}: holds a {card['model']!r}; known are {tuple(MODELS)}")
    kind = model_class(card["model"])
    config, tensors = kind.Configuration.from_dict(card["config"]), checkpoint.part("average")
    _check_size(kind, config, tensors, path)
    model = kind(config)
    restore_module(model, tensors, "running average")
    model.at_step(int(card["step"]))
    return model.eval().requires_grad_(False)


def _check_size(
    kind: type[GenerativeModel], config: Config, tensors: Mapping[str, Tensor], path: Path
) -> None:
    """Refuse a file whose configuration asks for more memory than its tensors take."""
    import torch

    with torch.device("meta"):
        wanted = kind(config).state_dict()
    asked, there = (sum(t.numel() for t in part.values()) for part in (wanted, tensors))
    if asked != there:
        raise ValueError(
            f"{path}: what it holds does not fit its configuration: {there} weights, not {asked}"
        )
