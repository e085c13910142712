"""`gandetect generate`: results, exit codes, and checkpoints that are something else."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from making_pictures import smooth
from PIL import Image
from trained_runs import brief_run, conditional_run, contents, tiny_run

from gandetect.cli import generate as module
from gandetect.cli.generate import command
from gandetect.gans import generation
from gandetect.gans.checkpoints import KEY, Checkpoint
from gandetect.gans.dcgan import DCGAN
from gandetect.gans.generation import read_facts
from gandetect.tensorfile import pack


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_run(tmp_path_factory.mktemp("run"))


def generate(source, out, *flags):
    """The result of the command for three images."""
    return CliRunner().invoke(command, [str(source), "--count=3", f"--out={out}", *flags])


def test_a_run_and_its_checkpoint_give_the_same_files(checkpoint, tmp_path):
    for name, source in (("file", checkpoint), ("folder", checkpoint.parent)):
        result = generate(source, tmp_path / name, "--seed=4")
        assert result.exit_code == 0, result.output
        assert result.stdout == ""
        assert "3 images drawn" in result.stderr
    assert contents(tmp_path / "file") == contents(tmp_path / "folder")
    assert sorted(contents(tmp_path / "file")) == [
        "generated.json",
        *(f"seed4-0000000{number}.png" for number in range(3)),
    ]
    assert (
        "0 images drawn, 3 were there" in generate(checkpoint, tmp_path / "file", "--seed=4").stderr
    )


def test_json_says_what_was_made(checkpoint, tmp_path):
    flags = ("--json", "--format=jpeg", "--quality=80", f"--grid={tmp_path / 'sheet.png'}")
    result = generate(checkpoint, tmp_path / "samples", *flags)
    said = json.loads(result.stdout)
    assert (said["model"], said["made"], said["kept"], said["seed"]) == ("dcgan", 3, 0, 0)
    facts = read_facts(tmp_path / "samples" / "seed0-00000001.jpg")
    assert facts["checkpoint_sha256"] == said["checkpoint_sha256"]
    listing = json.loads((tmp_path / "samples" / "generated.json").read_text())
    assert (listing["count"], listing["quality"]) == (3, 80)
    assert listing["training"]["data"]["source"] == "random numbers"
    with Image.open(said["grid"]) as sheet:
        assert sheet.size == (8 * 9 - 1, 8)


def test_shards_of_the_command_are_those_of_the_library(checkpoint, tmp_path):
    arguments = [str(checkpoint), "--count=70", f"--out={tmp_path / 'parts'}"]
    for part in (1, 2):
        assert CliRunner().invoke(command, [*arguments, f"--shard={part}/2"]).exit_code == 0
    generation.generate(checkpoint, tmp_path / "whole", 70)
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_labels_are_classes(tmp_path):
    checkpoint = conditional_run(tmp_path / "run")
    assert generate(checkpoint, tmp_path / "samples", "--labels=2,1").exit_code == 0
    files = sorted((tmp_path / "samples").glob("*.png"))
    assert [read_facts(path)["label"] for path in files] == [2, 1, 2]
    refused = generate(checkpoint, tmp_path / "others", "--labels=3")
    assert refused.exit_code == 3
    assert "has 0 to 2" in refused.stderr


@pytest.mark.parametrize(
    "flags",
    [
        ("--shard=0/2",),
        ("--shard=3/2",),
        ("--shard=1",),
        ("--shard=a/b",),
        ("--labels=a",),
        ("--labels=-1",),
        ("--count=0",),
        ("--seed=-1",),
        ("--quality=101",),
        ("--format=gif",),
        ("--device=tpu",),
        ("--device=cuda:77",),
        ("--grid=/nowhere/sheet.png",),
    ],
)
def test_bad_usage(flags, checkpoint, tmp_path):
    assert generate(checkpoint, tmp_path / "samples", *flags).exit_code == 2
    assert not (tmp_path / "samples").exists()


def signed(checkpoint, path, card=None, tensors=None):
    """A file whose digest fits, with other entries of the card or other tensors."""
    loaded = Checkpoint.load(checkpoint)
    changed = {k: v for k, v in (loaded.card | (card or {})).items() if v is not KeyError}
    others = {k: v for k, v in (loaded.tensors | (tensors or {})).items() if v is not KeyError}
    path.write_bytes(pack(others, changed, KEY))
    return path


WEIGHT = "average.generator.layers.0.weight"
CONFIGS = [
    {},
    {"size": 8},
    {"size": 1024, "widths": [2048] * 8, "latent": 8192, "channels": 512},
    {"size": 2**62},
    {"widths": [2**31]},
    {"up": "__import__('os')"},
    {"unknown": 1},
    {"latent": -1},
    {"latent": 4.5},
]
CARDS = [
    {"model": "stylegan9"},
    {"model": ["dcgan"]},
    {"model": {"dcgan": 1}},
    {"model": None},
    {"model": "../dcgan"},
    {"config": "dcgan"},
    {"config": None},
    {"config": [["size", 8]]},
    {"step": "two"},
    {"step": None},
    {"step": [2]},
    {"step": 10**400},
    {"step": -1},
    {"format_version": 99},
    {"seed": KeyError},
    *({"config": config} for config in CONFIGS),
]
TENSORS = [
    {WEIGHT: KeyError},
    {WEIGHT: torch.zeros(3)},
    {WEIGHT: torch.full((4, 4, 4, 4), torch.nan)},
    {"average.generator.more": torch.zeros(3)},
]


@pytest.mark.parametrize("number", range(len(CARDS)))
def test_a_card_that_means_harm_is_refused(number, checkpoint, tmp_path):
    refused(signed(checkpoint, tmp_path / "c.safetensors", card=CARDS[number]), tmp_path)


def test_networks_larger_than_the_file_are_never_built(checkpoint, tmp_path, monkeypatch):
    build, devices = DCGAN.build, []

    def seen(self, config):
        devices.append(torch.get_default_device().type)
        return build(self, config)

    monkeypatch.setattr(DCGAN, "build", seen)
    config = {"size": 32, "widths": [1024, 512, 8]}
    refused(signed(checkpoint, tmp_path / "c.safetensors", card={"config": config}), tmp_path)
    assert devices == ["meta"]


@pytest.mark.parametrize("number", range(len(TENSORS)))
def test_tensors_that_do_not_fit_are_refused(number, checkpoint, tmp_path):
    refused(signed(checkpoint, tmp_path / "c.safetensors", tensors=TENSORS[number]), tmp_path)


def test_what_was_signed_unchanged_is_taken(checkpoint, tmp_path):
    same = signed(checkpoint, tmp_path / "c.safetensors")
    assert generate(same, tmp_path / "samples").exit_code == 0


class Harm:
    def __reduce__(self):
        return (open, ("harm-was-done", "w"))


@pytest.mark.parametrize(
    "kind", ["empty", "text", "cut", "changed", "pickle", "picture", "detector", "folder"]
)
def test_another_file_is_refused(kind, checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, data = tmp_path / "c.safetensors", checkpoint.read_bytes()
    if kind == "folder":
        path.mkdir()
    elif kind == "pickle":
        torch.save({"model": Harm()}, path)
    elif kind == "picture":
        Image.new("RGB", (8, 8)).save(path, "PNG")
    elif kind == "detector":
        path.write_bytes(pack({"x": torch.zeros(1)}, {"model": "dcgan"}, "gandetect"))
    else:
        changed = data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]
        kinds = {"empty": b"", "text": b"weights", "cut": data[:-40], "changed": changed}
        path.write_bytes(kinds[kind])
    refused(path, tmp_path)
    assert not (tmp_path / "harm-was-done").exists()


def refused(path, folder):
    """Exit code 3, one line that names the file, no traceback and nothing written."""
    result = generate(path, folder / "samples", "--json")
    assert result.exit_code == 3, (result.exit_code, result.exception, result.output)
    assert isinstance(result.exception, SystemExit)
    assert json.loads(result.stdout)["error"]
    assert result.stderr.startswith("Error: ")
    assert not (folder / "samples").exists()


def test_a_folder_that_cannot_be_written_ends_with_3(checkpoint, tmp_path, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(generation, "_put", full)
    result = generate(checkpoint, tmp_path / "samples")
    assert result.exit_code == 3
    assert "No space left" in result.stderr


def test_ctrl_c_says_how_to_go_on(checkpoint, tmp_path, monkeypatch):
    def stop(*given):
        raise KeyboardInterrupt

    monkeypatch.setattr(generation, "_put", stop)
    result = generate(checkpoint, tmp_path / "samples")
    assert result.exit_code == 130
    assert "run the same again" in result.stderr


def test_help_teaches_and_imports_no_torch():
    code = (
        "import sys; from gandetect.cli import main; "
        "main(['generate', '--help'], standalone_mode=False); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "gandetect generate runs/dcgan --count 1000" in done.stdout


def test_the_formats_named_are_those_there_are():
    assert tuple(generation.FORMATS) == module.FORMATS


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(2):
        smooth(40, 40, seed=number).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize(
    ("name", "option"),
    [("cyclegan", "--sources"), ("unet", "--sources"), ("gaugan", "--maps")],
)
def test_pictures_are_asked_with(name, option, pictures, tmp_path):
    checkpoint, out = brief_run(name, tmp_path / "run"), tmp_path / "samples"
    result = generate(checkpoint, out, f"{option}={pictures}")
    assert result.exit_code == 0, result.output
    # The pictures come in turn.
    asked = [read_facts(out / f"seed0-0000000{number}.png") for number in range(3)]
    assert [one[option.removeprefix("--")] for one in asked] == [0, 1, 0]
    without = generate(checkpoint, tmp_path / "others")
    assert without.exit_code == 3
    assert option in without.stderr


def test_counts_are_asked_with(tmp_path):
    checkpoint, out = brief_run("mc2-stylegan2", tmp_path / "run"), tmp_path / "samples"
    result = generate(checkpoint, out, "--counts=2,0,1", "--counts=0,3,0")
    assert result.exit_code == 0, result.output
    asked = [read_facts(out / f"seed0-0000000{number}.png") for number in range(3)]
    assert [one["counts"] for one in asked] == [[2, 0, 1], [0, 3, 0], [2, 0, 1]]


@pytest.mark.parametrize("name", ["stylegan2", "biggan"])
def test_truncation_changes_the_images_and_is_told(name, tmp_path):
    checkpoint = brief_run(name, tmp_path / "run")
    made = {}
    for truncation in (None, "0.5", "1.5"):
        out = tmp_path / f"samples-{truncation}"
        flags = [] if truncation is None else [f"--truncation={truncation}"]
        result = generate(checkpoint, out, *flags)
        assert result.exit_code == 0, result.output
        assert read_facts(out / "seed0-00000000.png").get("truncation") == (
            None if truncation is None else float(truncation)
        )
        with Image.open(out / "seed0-00000000.png") as picture:
            made[truncation] = picture.tobytes()
    assert len(set(made.values())) == 3


def test_a_truncation_that_cannot_be_claims_no_folder(checkpoint, tmp_path):
    result = generate(checkpoint, tmp_path / "samples", "--truncation=0.5")
    assert result.exit_code == 3
    assert "dcgan has no truncation" in result.stderr
    style = brief_run("stylegan2", tmp_path / "run")
    result = generate(style, tmp_path / "samples", "--truncation=-1")
    assert result.exit_code == 3
    assert "truncation=-1.0 given" in result.stderr
    assert not (tmp_path / "samples" / "generated.json").exists()
    assert generate(style, tmp_path / "samples", "--truncation=1").exit_code == 0


def test_ways_between_latents_begin_and_end_with_samples(checkpoint, tmp_path):
    sheet = tmp_path / "ways.png"
    result = generate(checkpoint, tmp_path / "samples", f"--between={sheet}")
    assert result.exit_code == 0, result.output
    with Image.open(sheet) as picture:
        ways = np.asarray(picture)
    side, gap = 8, 1
    assert ways.shape == (8 * (side + gap) - gap, 8 * (side + gap) - gap, 3)
    for number, left in ((0, 0), (1, 7 * (side + gap))):
        with Image.open(tmp_path / "samples" / f"seed0-0000000{number}.png") as picture:
            sample = np.asarray(picture).astype(int)
        # Arithmetic differs a little with the company that an image is computed in.
        assert np.abs(ways[:side, left : left + side] - sample).max() <= 1


@pytest.mark.parametrize("name", ["cyclegan", "unet"])
def test_ways_of_a_model_without_latents_are_bad_usage(name, pictures, tmp_path):
    checkpoint, out = brief_run(name, tmp_path / "run"), tmp_path / "samples"
    sheet = tmp_path / "ways.png"
    flags = (f"--sources={pictures}", f"--between={sheet}")
    result = generate(checkpoint, out, *flags)
    assert result.exit_code == 2, result.output
    assert f"--between: {name} has no latents" in " ".join(result.stderr.split())
    with pytest.raises(ValueError, match=f"{name} has no latents"):
        generation.generate(checkpoint, out, 3, between=sheet)
    assert not out.exists()
    assert not sheet.exists()
    assert generate(checkpoint, out, flags[0]).exit_code == 0
