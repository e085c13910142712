"""`gandetect train`: from a folder to a run that can go on, and what it refuses."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner
from making_pictures import photographs, smooth

from gandetect.cli import train as module
from gandetect.cli.train import command
from gandetect.gans import UP, load_model, sample
from gandetect.gans.checkpoints import NAME, Checkpoint
from gandetect.gans.config import SPECTRAL
from gandetect.gans.losses import LOSSES
from gandetect.gans.training import PRECISIONS, Trainer

TINY = ("--preset=smoke", "--size=8", "--batch=4", "--set=widths=4", "--set=latent=4")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return photographs(tmp_path_factory.mktemp("photos"))


def train(photos, run, *flags, steps=4, model="dcgan"):
    arguments = [model, f"--data={photos}", f"--out={run}", f"--steps={steps}", *TINY, *flags]
    return CliRunner().invoke(command, arguments)


def test_a_folder_becomes_a_run(photos, tmp_path):
    result = train(photos, tmp_path / "run", "--json", "--source=a walk", "--seed=3")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    card = Checkpoint.load(tmp_path / "run" / NAME).card
    assert (card["step"], card["seed"], card["model"]) == (4, 3, "dcgan")
    assert said["config"]["widths"] == [4] == card["config"]["widths"]
    assert said["data"] == card["data"]
    assert (card["data"]["source"], card["data"]["number"]) == ("a walk", 6)
    assert said["last"]["samples/spectral_l1"] > 0
    assert sample(load_model(tmp_path / "run"), 2).shape == (2, 3, 8, 8)
    assert list((tmp_path / "run" / "samples").iterdir())


def test_going_on_equals_not_having_stopped(photos, tmp_path):
    flags = ("--crops=3", "--seed=7", "--spectral=loss")
    assert train(photos, tmp_path / "whole", *flags, steps=6).exit_code == 0
    for steps in (2, 5, 6):
        assert train(photos, tmp_path / "parts", *flags, steps=steps).exit_code == 0
    whole, parts = ((tmp_path / name / NAME).read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    # At its end there is nothing to do.
    assert train(photos, tmp_path / "parts", *flags, steps=6).exit_code == 0
    assert (tmp_path / "parts" / NAME).read_bytes() == whole


# A suite that runs in the background inherits SIGINT ignored.
LISTENING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from gandetect.cli import main
main()
"""


@pytest.fixture
def listening():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_leaves_a_whole_iteration_to_go_on_from(photos, tmp_path):
    arguments = ["dcgan", f"--data={photos}", *TINY]
    run = tmp_path / "parts"
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENING, "train", *arguments, f"--out={run}", "--steps=1000000"],
        stderr=subprocess.PIPE,
        text=True,
    )
    log = run / "log.jsonl"
    try:
        while not log.exists() or not log.read_text():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, told
    reached = int(re.search(r"interrupted after iteration (\d+)", told).group(1))
    assert Checkpoint.load(run / NAME).card["step"] == reached >= 50
    for folder in (run, tmp_path / "whole"):
        assert train(photos, folder, steps=reached + 2).exit_code == 0
    assert (run / NAME).read_bytes() == (tmp_path / "whole" / NAME).read_bytes()


@pytest.mark.usefixtures("listening")
def test_ctrl_c_between_the_players_waits_for_the_second(photos, tmp_path, monkeypatch):
    taken = Trainer._take

    def interrupted(self, phase, factor):
        terms = taken(self, phase, factor)
        if self.step == 2 and phase.player == "discriminator":
            os.kill(os.getpid(), signal.SIGINT)
        return terms

    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "_take", interrupted)
        result = train(photos, tmp_path / "parts")
    assert result.exit_code == 130
    assert "interrupted after iteration 3" in result.stderr
    for name in ("parts", "whole"):
        assert train(photos, tmp_path / name).exit_code == 0
    whole, parts = ((tmp_path / name / NAME).read_bytes() for name in ("whole", "parts"))
    assert whole == parts


def test_classes_are_learned(tmp_path):
    for name, first in (("ants", 0), ("bees", 10)):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for number in range(first, first + 3):
            smooth(20, 20, seed=number).save(folder / f"{number}.png")
    shape = ("--set=widths=4,4", "--set=d_widths=4,4", "--set=d_downs=1")
    result = train(tmp_path / "data", tmp_path / "run", *shape, "--labels", model="sngan")
    assert result.exit_code == 0, result.output
    card = Checkpoint.load(tmp_path / "run" / NAME).card
    assert card["config"]["classes"] == 2
    assert card["data"]["classes"] == ["ants", "bees"]


def test_gray_and_digits_have_one_channel(photos, tmp_path):
    assert train(photos, tmp_path / "gray", "--gray").exit_code == 0
    assert load_model(tmp_path / "gray").config.channels == 1
    digits = tmp_path / "digits"
    digits.mkdir()
    for name in range(10):
        (digits / f"{name}.json").write_text(json.dumps({"data": [0.5] * 784 * 2}))
    flags = ("--size=32", "--set=widths=4,4,4", "--digits", "--json")
    said = json.loads(train(digits, tmp_path / "run", *flags).stdout)
    assert said["data"]["shape"] == [1, 32, 32]
    assert "mnist" in said["data"]["source"]


def test_settings_reach_the_configuration(photos, tmp_path):
    flags = (
        *("--up=bicubic", "--up-last=pixel_shuffle", "--loss=hinge", "--spectral=discriminator"),
        *("--spectral-weight=2.5", "--set=rate=1e-3", "--set=betas=0.1,0.9"),
        *("--set=last_relu=true", "--set=norm=none", "--set=d_steps=2"),
    )
    said = json.loads(train(photos, tmp_path / "run", *flags, "--json").stdout)["config"]
    wanted = {
        **{"up": "bicubic", "up_last": "pixel_shuffle", "loss": "hinge"},
        **{"spectral": "discriminator", "spectral_weight": 2.5, "rate": 1e-3},
        **{"betas": [0.1, 0.9], "last_relu": True, "norm": "none", "d_steps": 2},
        **{"size": 8, "batch": 4, "widths": [4], "latent": 4},
    }
    assert {key: said[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--set=widht=4",), "widths"),
        (("--set=widths",), "NAME=VALUE"),
        (("--set=rate=fast",), "like 0.0002"),
        (("--set=rate=nan",), "rate"),
        (("--set=betas=0.5,x",), "like (0.5, 0.999)"),
        (("--set=last_relu=maybe",), "want bool"),
        (("--set=channels=2",), "channels=2"),
        (("--size=16",), "size=16"),
        (("--up=lanczos",), "lanczos"),
        (("--preset=huge",), "smoke"),
        (("--device=tpu",), "tpu"),
        (("--device=cuda:77",), "CUDA device"),
        (("--digits", "--crops=2"), "--crops"),
        (("--labels", "--crops=2"), "--crops"),
        (("--spectral-weight=-1",), "--spectral-weight"),
    ],
)
def test_bad_usage(flags, told, photos, tmp_path):
    result = train(photos, tmp_path / "run", *flags)
    assert result.exit_code == 2, result.output
    # The message is folded to the width of the terminal.
    assert told in " ".join(result.stderr.split())
    assert not (tmp_path / "run").exists()


def test_bad_usage_without_data_or_with_an_unknown_model(photos, tmp_path):
    result = CliRunner().invoke(command, ["dcgan", f"--out={tmp_path / 'run'}"])
    assert (result.exit_code, "--data FOLDER" in result.stderr) == (2, True)
    result = train(photos, tmp_path / "run", model="stylegan9")
    assert (result.exit_code, "sngan" in result.stderr) == (2, True)


def refused(result, told):
    """Exit code 3 and a reason, also in JSON."""
    assert result.exit_code == 3, (result.exit_code, result.exception, result.output)
    assert told in json.loads(result.stdout)["error"]
    assert result.stderr.rstrip().splitlines()[-1].startswith("Error: ")


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    refused(train(tmp_path / "empty", tmp_path / "run", "--json"), "no images found")


def test_a_model_without_classes_is_refused_labels(photos, tmp_path):
    result = train(photos.parent, tmp_path / "run", "--labels", "--json")
    refused(result, "DCGANConfig has no ['classes']")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--seed=4",), "has seed 0; 4 given"),
        (("--up=bilinear",), "up='conv_transpose' (not 'bilinear')"),
        (("--crops=2",), "has data"),
        (("--precision=bfloat16",), "has precision 'float32'"),
    ],
)
def test_another_run_in_the_folder_is_refused(flags, told, photos, tmp_path):
    assert train(photos, tmp_path / "run").exit_code == 0
    before = (tmp_path / "run" / NAME).read_bytes()
    refused(train(photos, tmp_path / "run", *flags, "--json"), told)
    assert (tmp_path / "run" / NAME).read_bytes() == before


def test_a_damaged_checkpoint_is_refused(photos, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / NAME).write_bytes(b"weights")
    refused(train(photos, tmp_path / "run", "--json"), "not a gandetect checkpoint")


def test_divergence_ends_with_3(photos, tmp_path):
    flags = ("--loss=wasserstein", "--set=rate=1e9", "--json")
    refused(train(photos, tmp_path / "run", *flags, steps=200), "training diverged at iteration")


def test_divergence_keeps_the_last_checkpoint(photos, tmp_path, monkeypatch):
    taken = Trainer.iterate

    def diverging(self):
        terms = taken(self)
        return terms | ({"generator/loss": float("nan")} if self.step == 3 else {})

    monkeypatch.setattr(Trainer, "iterate", diverging)
    result = train(photos, tmp_path / "run", "--save-every=1", "--json")
    refused(result, "diverged at iteration 3: generator/loss is nan")
    assert Checkpoint.load(tmp_path / "run" / NAME).card["step"] == 2


def test_a_full_disk_ends_with_3(photos, tmp_path, monkeypatch):
    def full(self, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Checkpoint, "save", full)
    refused(train(photos, tmp_path / "run", "--json"), "No space left")


def test_too_little_memory_ends_with_3(photos, tmp_path, monkeypatch):
    import torch

    def large(self):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Trainer, "iterate", large)
    refused(train(photos, tmp_path / "run", "--json"), "smaller --batch")


def test_images_that_were_left_out_are_named_and_end_with_1(tmp_path):
    folder = photographs(tmp_path / "photos")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    result = train(folder, tmp_path / "run")
    assert result.exit_code == 1
    assert re.search(r"not used: .*broken\.jpg", result.stderr)
    said = json.loads(train(folder, tmp_path / "other", "--json").stdout)
    assert list(said["failed"]) == [str(folder / "broken.jpg")]


def test_a_cache_changes_nothing(photos, tmp_path):
    for name, flags in (("plain", ()), ("kept", (f"--cache={tmp_path / 'cache'}",))):
        assert train(photos, tmp_path / name, "--crops=2", *flags).exit_code == 0
    assert list((tmp_path / "cache").glob("*.pixels"))
    plain, kept = ((tmp_path / name / NAME).read_bytes() for name in ("plain", "kept"))
    assert plain == kept


def test_quiet_says_nothing(photos, tmp_path):
    result = train(photos, tmp_path / "run", "-q")
    assert (result.exit_code, result.output) == (0, "")


def test_the_list_shows_every_model():
    from gandetect.gans import MODELS

    result = CliRunner().invoke(command, ["--list"], terminal_width=300)
    assert result.exit_code == 0
    for name in MODELS:
        assert re.search(rf"^{name}\s+run \d+ px|^{name}\s+smoke \d+ px", result.stdout, re.M)


def test_what_is_named_for_help_is_what_there_is():
    assert module.UP == UP
    assert tuple(LOSSES) == module.LOSSES
    assert module.SPECTRAL == SPECTRAL
    assert module.PRECISIONS == PRECISIONS


def test_help_teaches_and_imports_no_torch():
    code = (
        "import sys; from gandetect.cli import main; "
        "main(['train', '--help'], standalone_mode=False); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "gandetect train dcgan --data PHOTOS/ --crops 64 --out runs/dcgan" in done.stdout


@pytest.mark.slow
def test_under_torchrun_the_first_process_speaks(photos, tmp_path):
    run = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *("--standalone", "-m", "gandetect", "train", "dcgan", f"--data={photos}"),
            *(f"--out={tmp_path / 'run'}", "--steps=3", "--json", "--device=cpu", *TINY),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    assert json.loads(run.stdout)["steps"] == 3
    assert run.stderr.count("6 images of 8 pixels") == 1
    assert Checkpoint.load(tmp_path / "run" / NAME).card["processes"] == 2
