"""The atlas of families: plan, worlds, and the whole of it, stopped in the middle or not."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from upsampling_sets import as_bytes, photographs

from gandetect.experiments.classifiers import CLASSIFIERS, LinearLayer
from gandetect.experiments.families import analysis, run, training
from gandetect.experiments.families.plan import EFFORTS, FAMILIES, Options, World, families
from gandetect.experiments.families.worlds import in_world, worlds_of
from gandetect.experiments.upsampling.steps import Steps
from gandetect.experiments.upsampling.work import Work
from gandetect.gans import MODELS, Diverged, Images, model_class, preset, train
from gandetect.gans.checkpoints import NAME
from gandetect.gans.preparing import prepared
from gandetect.report.families import read_results, sections, tables_markdown, write_report

# One of every kind that is asked otherwise, and one of a world of its own.
SMALL = ("dcgan", "vae", "unet", "gaugan")
OPTIONS = Options(preset="smoke", families=SMALL, steps=2, threads=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve photographs, large enough that no square is enlarged."""
    place = tmp_path_factory.mktemp("photographs")
    for number, image in enumerate(as_bytes(photographs(12, seed=3))):
        large = np.kron(image.permute(1, 2, 0).numpy(), np.ones((3, 3, 1), np.uint8))
        Image.fromarray(large).save(place / f"{number}.png")
    return place


@pytest.fixture(autouse=True, scope="module")
def quick():
    """Two iterations teach nothing, and what has learned nothing is in no table."""
    known = analysis.learned

    def learned(work, pictures, names):
        found = known(work, pictures, names)
        for name in names:
            found["rows"][name]["learned"] = name != "gaugan"
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysis, "learned", learned)
        patch.setitem(
            CLASSIFIERS, "linear-layer", lambda seed: LinearLayer(epochs=20, random_state=seed)
        )
        yield


@pytest.fixture(scope="module")
def made(folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("atlas")
    return run([folder], place, OPTIONS), place


class Stopping:
    """Stops the run, as Ctrl-C does, the first time `words` are told."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __call__(self, what: str, done: int, total: int) -> None:
        if self.words in what:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_everything_is_measured_of_what_learned_something(made):
    found, _ = made
    (world,) = found["worlds"].values()
    assert [one["name"] for one in world["generators"]] == list(SMALL)
    assert world["left_out"] == ["gaugan"]
    shown = [name for name in SMALL if name != "gaugan"]
    for detector in world["detectors"]:
        assert list(world["detection"][detector["id"]]) == shown
        assert len(world["transfer"][detector["id"]]["left_out"]) == len(shown)
    assert world["attribution"]["classes"] == ["real", *shown]
    assert set(world["attribution"]["unknown"]) == set(shown)
    for part in (world["audit"], world["spectra"]["differences"]):
        assert list(part) == list(SMALL)
    assert all(one["seconds_per_image"] > 0 for one in world["generators"])


@pytest.mark.slow
def test_a_run_that_is_stopped_comes_to_the_same(folder, made, tmp_path):
    for words in ("training unet", "generating images of vae", "attribution"):
        with pytest.raises(KeyboardInterrupt):
            run([folder], tmp_path, OPTIONS, progress=Stopping(words))
        assert not (tmp_path / "results.json").exists()
    (stopped,) = run([folder], tmp_path, OPTIONS)["worlds"].values()
    (whole,) = made[0]["worlds"].values()
    for one in (*stopped["generators"], *whole["generators"]):
        one.pop("seconds_per_image")
    assert {**stopped, "seconds": None} == {**whole, "seconds": None}


@pytest.mark.slow
def test_images_of_images_are_counted_with_their_photographs(made):
    found, place = made
    stems = json.loads((place / "32px" / "steps" / "sets" / "unet.json").read_text())
    test = stems["result"]["stems"]["test"]
    assert len(test) == found["worlds"]["32px"]["sets"]["counts"]["test"]
    assert len(set(test)) == found["worlds"]["32px"]["sets"]["photographs"]["test"]


@pytest.mark.slow
def test_the_report_has_every_family_and_loads_nothing(made):
    _, place = made
    page = write_report(place).read_text()
    bare = re.sub(r'="data:image/[^"]*"', "", page)
    assert not re.search(r"https?://|<script|<link|src=|url\((?!#)", bare)
    keys = [one.key for one in sections(read_results(place))]
    assert len(keys) == len(set(keys))
    assert all(f'id="{key}"' in page for key in keys)
    told = tables_markdown(read_results(place))
    assert all(f"| {name} |" in told for name in SMALL)
    assert "gaugan learned too little" in told
    assert (place / "figures" / "32px-samples-unet.png").exists()
    assert (place / "figures" / "32px-spectra.png").exists()


def test_results_of_something_else_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no results"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"experiment": "upsampling", "format_version": 1}')
    with pytest.raises(ValueError, match="experiment families, format_version 1"):
        read_results(tmp_path)


def test_every_family_can_be_trained_from_photographs():
    for which in EFFORTS:
        for name in FAMILIES:
            config = preset(name, which)
            assert getattr(config, "classes", 0) == 0
            assert config.channels in (1, 3)


def test_every_model_is_a_family_or_draws_something_else():
    others = {name for name in MODELS if not model_class(name).draws_photographs}
    assert others == {"gan", "cvae", "mc2-stylegan2"}
    assert families() == FAMILIES
    assert set(FAMILIES) | others == set(MODELS)


def test_families_of_one_kind_of_image_are_one_world():
    worlds = worlds_of(Options())
    assert next(iter(worlds)) == World(64, 3)
    assert len(worlds[World(64, 3)]) >= 10
    (other,) = (world for world, names in worlds.items() if "pixelcnn" in names)
    assert other.levels < 256
    assert sum(len(names) for names in worlds.values()) == len(FAMILIES)


def test_reals_are_as_the_world_has_them():
    pixels = torch.arange(256, dtype=torch.uint8).repeat(3, 1).view(1, 3, 16, 16)
    parts = {"train": Images(pixels, {"name": "ramp"}, sources=["ramp"])}
    assert in_world(parts, World(16, 3))["train"] is parts["train"]
    gray = in_world(parts, World(16, 1, 16))["train"]
    assert gray.images.shape == (1, 1, 16, 16)
    assert gray.images.unique().tolist() == [17 * level for level in range(16)]
    assert (gray.images.int() - pixels[:, :1].int()).abs().max() <= 9
    assert gray.sources == ("ramp",)
    assert World(16, 1, 16).name == "16px-gray-16-levels"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"families": ("dcgan", "what")}, "what"),
        ({"families": ("dcgan",)}, "two or more"),
        ({"preset": "large"}, "large"),
        ({"steps": 0}, "steps=0"),
    ],
)
def test_options_that_cannot_be_are_refused(given, told):
    with pytest.raises(ValueError, match=told):
        Options(**given)


def test_a_family_is_loaded_in_place_of_trained(tmp_path):
    """From the folder of a run or from its checkpoint; trained on these squares or on others."""
    size = preset("dcgan", "smoke").size
    pixels = torch.randint(256, (8, 3, size, size), generator=torch.Generator().manual_seed(0))
    images = Images(pixels.to(torch.uint8), {"name": "noise"}, sources=[str(i) for i in range(8)])
    config = replace(preset("dcgan", "smoke"), steps=2)
    train("dcgan", config, prepared("dcgan", config, images), tmp_path / "own", seed=5)
    weights = {}
    for number, path in enumerate((tmp_path / "own", tmp_path / "own" / NAME)):
        options = Options(preset="smoke", families=("dcgan", "vae"), loaded={"dcgan": path})
        place = tmp_path / f"atlas{number}"
        work = Work(place, Steps(place / "steps"), options.effort)
        given = images if number == 0 else images.take(range(4))
        found = training.train_all(work, ["dcgan"], given, options)["dcgan"]
        assert (found["steps"], found["seed"], found["failed"]) == (2, 5, None)
        assert found["loaded"]["same_photographs"] is (number == 0)
        assert (place / "runs" / "dcgan" / NAME).read_bytes() == (
            tmp_path / "own" / NAME
        ).read_bytes()
        assert worlds_of(options)[World(size, 3)] == ["dcgan", "vae"]
        weights[number] = found["weights"]
    assert weights[0] == weights[1]


def test_what_cannot_be_loaded_is_refused(tmp_path):
    size = preset("dcgan", "smoke").size
    images = Images(torch.zeros(8, 3, size, size, dtype=torch.uint8), {"name": "black"})
    config = replace(preset("dcgan", "smoke"), steps=1)
    for name in ("one", "two"):
        seed = ("one", "two").index(name)
        train("dcgan", config, prepared("dcgan", config, images), tmp_path / name, seed=seed)
    with pytest.raises(ValueError, match="not among the families"):
        Options(families=("vae", "lsgan"), loaded={"dcgan": tmp_path / "one"})
    other = Options(preset="smoke", families=("vae", "lsgan"), loaded={"vae": tmp_path / "one"})
    with pytest.raises(ValueError, match="holds a 'dcgan', not the 'vae'"):
        worlds_of(other)
    work = Work(tmp_path / "atlas", Steps(tmp_path / "atlas" / "steps"), OPTIONS.effort)
    given = {"preset": "smoke", "families": ("dcgan", "vae")}
    first, second = (Options(**given, loaded={"dcgan": tmp_path / n}) for n in ("one", "two"))
    training.train_all(work, ["dcgan"], images, first)
    with pytest.raises(ValueError, match="another run is there already"):
        training.train_all(work, ["dcgan"], images, second)


def test_fewer_steps_leave_the_priors_their_share():
    given = {"families": ("vqvae2", "vae"), "steps": 500}
    config = training.configuration("vqvae2", Options(**given))
    base = preset("vqvae2", "run")
    assert config.steps == 500
    assert config.code_steps == 500 * base.code_steps // base.steps < 500


def test_a_family_that_diverges_is_named(monkeypatch, tmp_path, folder):
    def diverging(*given, **more):
        raise Diverged("the loss is nan")

    monkeypatch.setattr(training, "train", diverging)
    images = Images(torch.zeros(4, 3, 32, 32, dtype=torch.uint8), {"name": "none"})
    work = Work(tmp_path, Steps(tmp_path / "steps"), OPTIONS.effort)
    found = training.train_all(work, ["dcgan"], images, OPTIONS)["dcgan"]
    assert found["failed"] == "the loss is nan"
    assert found["weights"] is None
