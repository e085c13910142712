"""Generative models with interchangeable up-sampling, and one training loop for all of them.

    data = folder_images("PHOTOS/", size=64)
    model = train("dcgan", preset("dcgan"), data, "runs/dcgan")
    images = sample(model, 64, seed=1)

Images are (N, C, H, W) in -1..1 inside the models; data and samples are uint8. Every generator
takes `up` and `up_last` of `UP`.
"""

from __future__ import annotations

from gandetect.gans.config import Config
from gandetect.gans.data import Data, Images, folder_images, patches, split
from gandetect.gans.inference import for_inference
from gandetect.gans.model import AdversarialConfig, AdversarialModel, GenerativeModel, Phase, Player
from gandetect.gans.monitors import Diverged
from gandetect.gans.registry import MODELS, PRESETS, load_model, model_class, preset
from gandetect.gans.sampling import sample
from gandetect.gans.training import Settings, Trainer, train
from gandetect.gans.upsampling import UP, up_conv

__all__ = [
    "MODELS",
    "PRESETS",
    "UP",
    "AdversarialConfig",
    "AdversarialModel",
    "Config",
    "Data",
    "Diverged",
    "GenerativeModel",
    "Images",
    "Phase",
    "Player",
    "Settings",
    "Trainer",
    "folder_images",
    "for_inference",
    "load_model",
    "model_class",
    "patches",
    "preset",
    "sample",
    "split",
    "train",
    "up_conv",
]
