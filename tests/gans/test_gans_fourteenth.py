"""Another model takes one file and one line: `docs/adding-a-generator.md`, followed.

The file is written to a folder of its own, which stands for `gandetect/gans`; the line is an entry
of `MODELS`. Nothing else is told of the model.
"""

import json
import sys

import pytest
import torch
from click.testing import CliRunner
from making_pictures import photographs
from PIL import Image
from trained_runs import contents

import gandetect.gans
from gandetect.cli import generate, train
from gandetect.experiments.families.plan import Options
from gandetect.experiments.families.worlds import worlds_of
from gandetect.gans import MODELS, load_model, model_class, preset, sample
from gandetect.gans.checkpoints import NAME, Checkpoint
from gandetect.gans.generation import read_facts
from gandetect.gans.logs import read_log

FILE = '''
"""Calm GAN: a discriminator that pays for large logits, and a generator of one up-sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from gandetect.gans.losses import Discriminator
from gandetect.gans.model import AdversarialConfig, AdversarialModel
from gandetect.gans.upsampling import up_conv


@dataclass(frozen=True)
class CalmConfig(AdversarialConfig):
    """`AdversarialConfig` with `calm`, the weight of squared logits, and `width` in channels."""

    size: int = 64
    latent: int = 16
    up: str = "conv_transpose"
    batch: int = 4
    steps: int = 100
    ema: float = 0.5
    width: int = 8
    calm: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.width <= 64 or self.size % 8:
            raise ValueError(f"width={self.width}, size={self.size} given; want 1 to 64 and 8 n")


class Generator(nn.Module):
    """Latents (N, latent) to images (N, C, S, S) in -1..1."""

    def __init__(self, config: CalmConfig) -> None:
        super().__init__()
        self.side = config.size // 2
        self.dense = nn.Linear(config.latent, config.width * self.side**2)
        self.up = up_conv(config.width, config.channels, config.last, activation="tanh")

    def forward(self, latents: Tensor) -> Tensor:
        x = self.dense(latents).relu().unflatten(1, (-1, self.side, self.side))
        return self.up(x)


class Judge(nn.Module):
    """Images (N, C, S, S) to logits (N,)."""

    def __init__(self, config: CalmConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(config.channels, config.width, 4, 4),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(config.width * (config.size // 4) ** 2, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)[:, 0]


class CalmGAN(AdversarialModel):
    name = "calm-gan"
    source = "nobody, never"
    Configuration = CalmConfig
    presets: ClassVar = {"run": CalmConfig(), "smoke": CalmConfig(size=32, steps=20)}

    def build(self, config: CalmConfig) -> tuple[nn.Module, nn.Module]:
        judge = Judge(config)
        return Generator(config), judge

    def penalty(self, judge: Discriminator, real: Tensor, generated: Tensor) -> Tensor | None:
        return self.config.calm * judge(real).square().mean()
'''
NAMED, LINE = "calm-gan", "calm_gan.CalmGAN"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("photos"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the file is."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "calm_gan.py").write_text(FILE)
    monkeypatch.setattr(gandetect.gans, "__path__", [*gandetect.gans.__path__, str(folder)])
    yield folder
    sys.modules.pop("gandetect.gans.calm_gan", None)
    vars(gandetect.gans).pop("calm_gan", None)


@pytest.fixture
def line(folder, monkeypatch):
    monkeypatch.setitem(MODELS, NAMED, LINE)


def trained(photos, run, *flags, steps):
    arguments = [NAMED, f"--data={photos}", f"--out={run}", f"--steps={steps}", "--preset=smoke"]
    return CliRunner().invoke(train.command, [*arguments, *flags])


@pytest.mark.usefixtures("folder")
def test_without_its_line_a_model_is_unknown(photos, tmp_path, monkeypatch):
    refused = trained(photos, tmp_path / "run", steps=1)
    assert refused.exit_code == 2
    assert NAMED in refused.stderr
    with monkeypatch.context() as told:
        told.setitem(MODELS, NAMED, LINE)
        assert trained(photos, tmp_path / "run", steps=1).exit_code == 0
    with pytest.raises(ValueError, match=f"holds a '{NAMED}'"):
        load_model(tmp_path / "run")


@pytest.mark.usefixtures("line")
def test_the_list_shows_it():
    listed = CliRunner().invoke(train.command, ["--list"], terminal_width=300)
    assert listed.exit_code == 0
    (row,) = [one for one in listed.stdout.splitlines() if one.startswith(NAMED)]
    assert "run 64 px" in row
    assert "nobody, never" in row
    assert preset(NAMED, "smoke").size == 32


@pytest.mark.usefixtures("line")
def test_it_is_trained_goes_on_and_is_loaded(photos, tmp_path):
    flags = ("--set=calm=0.5", "--up=bicubic", "--spectral=discriminator", "--seed=3", "--json")
    whole = trained(photos, tmp_path / "whole", *flags, steps=4)
    assert whole.exit_code == 0, whole.output
    said = json.loads(whole.stdout)
    assert (said["model"], said["config"]["calm"], said["config"]["up"]) == (NAMED, 0.5, "bicubic")
    for steps in (2, 4):
        assert trained(photos, tmp_path / "parts", *flags, steps=steps).exit_code == 0
    assert (tmp_path / "whole" / NAME).read_bytes() == (tmp_path / "parts" / NAME).read_bytes()
    card = Checkpoint.load(tmp_path / "whole" / NAME).card
    assert (card["model"], card["step"]) == (NAMED, 4)
    logged = set().union(*read_log(tmp_path / "parts"))
    assert {"discriminator/penalty", "spectral/penalty", "generator/loss"} <= logged
    model = load_model(tmp_path / "parts")
    assert type(model) is model_class(NAMED)
    assert model.config.calm == 0.5
    assert sample(model, 2).shape == (2, 3, 32, 32)


@pytest.mark.usefixtures("line")
def test_images_are_drawn_of_it(photos, tmp_path):
    run, out = tmp_path / "run", tmp_path / "samples"
    assert trained(photos, run, steps=2).exit_code == 0
    sheets = {name: tmp_path / f"{name}.png" for name in ("grid", "between")}
    flags = [f"--{name}={path}" for name, path in sheets.items()]
    result = CliRunner().invoke(
        generate.command, [str(run), "--count=40", f"--out={out}", "--seed=2", *flags]
    )
    assert result.exit_code == 0, result.output
    files = sorted(out.glob("*.png"))
    assert [read_facts(path)["model"] for path in files] == [NAMED] * 40
    wanted = sample(load_model(run), 3, seed=2)
    for number, path in enumerate(files[:3]):
        with Image.open(path) as picture:
            pixels = torch.tensor(list(picture.tobytes()), dtype=torch.int).view(32, 32, 3)
        assert (pixels - wanted[number].permute(1, 2, 0).int()).abs().max() <= 1
    assert all(path.stat().st_size for path in sheets.values())
    shards = [str(run), "--count=40", f"--out={tmp_path / 'parts'}", "--seed=2"]
    for part in (1, 2):
        assert CliRunner().invoke(generate.command, [*shards, f"--shard={part}/2"]).exit_code == 0
    assert contents(tmp_path / "parts") == contents(out)


@pytest.mark.usefixtures("line")
def test_it_is_a_family_of_the_atlas():
    worlds = worlds_of(Options(preset="smoke", families=("dcgan", NAMED)))
    assert list(worlds.values()) == [["dcgan", NAMED]]
    assert NAMED in Options().ordered


@pytest.mark.usefixtures("folder")
def test_without_its_line_it_is_no_family():
    with pytest.raises(ValueError, match=f"families .'{NAMED}'. given"):
        Options(families=("dcgan", NAMED))
    assert NAMED not in Options().ordered
