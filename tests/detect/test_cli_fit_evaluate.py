"""`gandetect fit` and `gandetect evaluate`: results, refusals and exit codes."""

import importlib.util
import json
import os
import signal

import pytest
from click.testing import CliRunner
from PIL import Image

from gandetect.cli.evaluate import command as evaluate
from gandetect.cli.fit import CLASSIFIERS as NAMED
from gandetect.cli.fit import command as fit
from gandetect.detect import training
from gandetect.detect.classifiers import CLASSIFIERS, MAPS


@pytest.fixture(scope="module")
def folders(real_images, generated_images, tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    for name, images in (("real", real_images), ("generated", generated_images)):
        (root / name).mkdir()
        for number, image in enumerate(images[:12]):
            Image.fromarray(image).save(root / name / f"{name}{number}.png")
    return root


@pytest.fixture(scope="module")
def fitted(folders):
    """A model file and what `fit --json` said of it."""
    path = folders / "model.safetensors"
    result = run(fit, real=folders / "real", generated=folders / "generated", output=path, tile=64)
    assert result.exit_code == 0, result.output
    return path, json.loads(result.stdout)


def run(command, *flags, **options):
    arguments = [f"--{name}={value}" for name, value in options.items()]
    return CliRunner().invoke(command, [*arguments, *flags, "--json"])


def test_fit_says_what_so_few_images_cannot_show(fitted):
    _, said = fitted
    value, low, high = said["auc"]
    assert low < 0.75 < value <= high
    assert not said["thresholds"]["certified"]
    assert said["smallest_certifiable_fpr"] == pytest.approx(1 - 0.05 ** (1 / 12))


@pytest.mark.parametrize(("lacking", "flags"), [("sklearn", ()), ("cv2", ("--simulate",))])
def test_a_missing_extra_is_named(folders, monkeypatch, lacking, flags):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == lacking else find(name)
    )
    generated = {} if flags else {"generated": folders / "generated"}
    result = run(fit, *flags, real=folders / "real", output=folders / "none", **generated)
    assert result.exit_code == 2
    assert f"needs {lacking}: pip install 'gandetect[train]'" in result.stderr


def test_the_model_is_the_same_however_many_processes_simulate(photographs, tmp_path):
    for number, load in enumerate(photographs):
        Image.fromarray(load().numpy()).save(tmp_path / f"{number}.png")
    hashes = set()
    for workers in (0, 2):
        options = {"real": tmp_path, "output": tmp_path / "m", "pairs": 3, "workers": workers}
        result = run(fit, "--simulate", **options)
        assert result.exit_code == 0, result.output
        hashes.add(json.loads(result.stdout)["sha256"])
    assert len(hashes) == 1


def test_a_worker_that_dies_ends_the_fit_with_a_sentence(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "describe", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    options = {"real": folders / "real", "generated": folders / "generated", "workers": 2}
    result = run(fit, output=tmp_path / "m", **options)
    assert result.exit_code == 3
    assert "fewer workers" in json.loads(result.stdout)["error"]
    assert not (tmp_path / "m").exists()


def test_workers_are_refused_where_they_would_do_nothing(folders, tmp_path):
    options = {"real": folders / "real", "output": tmp_path / "m", "classifier": "mask"}
    result = run(fit, "--simulate", workers=2, **options)
    assert result.exit_code == 2
    assert "--workers is not for" in result.output


def test_the_command_names_the_classifiers_that_there_are():
    assert set(NAMED) == {*CLASSIFIERS, "fusion", "attribution"}


@pytest.mark.parametrize("classifier", sorted({*CLASSIFIERS} - {*MAPS} | {"fusion"}))
def test_every_classifier_fits_by_the_command_and_judges(classifier, folders, tmp_path):
    path = tmp_path / "model.safetensors"
    # Small tiles, or the plain network would take half a minute.
    tile = 32 if classifier.startswith("cnn") else 64
    options = {"real": folders / "real", "generated": folders / "generated", "tile": tile}
    members = ("--member=logistic", "--member=dct") if classifier == "fusion" else ()
    # Brightness tells these classes apart, and networks on pixels would use it.
    result = run(fit, *members, "--allow-leak", classifier=classifier, output=path, **options)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["classifier"] == classifier
    judged = run(
        evaluate, real=folders / "real", generated=f"g={folders / 'generated'}", model=path
    )
    assert judged.exit_code == 0, judged.output
    rows = {row["perturbation"]: row for row in json.loads(judged.stdout)["rows"]}
    # Networks and leaves of twenty images learn nothing from two dozen.
    if classifier not in {"boosted", "cnn", "cnn-spectrum", "cnn-residual"}:
        assert rows["none"]["auc"][0] > 0.9


def test_fit_prints_a_table_for_people(folders, tmp_path):
    arguments = ["--real", str(folders / "real"), "--generated", str(folders / "generated")]
    result = CliRunner().invoke(fit, [*arguments, "-o", str(tmp_path / "m"), "--tile", "64"])
    assert result.exit_code == 0
    assert "NOT certified" in result.stdout


def test_fit_refuses_a_leak_and_gives_the_reason(folders, tmp_path):
    for number, source in enumerate((folders / "generated").iterdir()):
        Image.open(source).save(tmp_path / f"{number}.jpg")
    output = tmp_path / "model.safetensors"
    options = {"real": folders / "real", "generated": tmp_path, "output": output, "tile": 64}
    refused = run(fit, **options)
    assert refused.exit_code == 3
    assert "metadata alone" in json.loads(refused.stdout)["error"]
    assert not output.exists()
    assert run(fit, "--allow-leak", **options).exit_code == 0


def test_fit_needs_one_source_of_generated_images(folders, tmp_path):
    options = {"real": folders / "real", "output": tmp_path / "model"}
    assert run(fit, **options).exit_code == 2
    assert run(fit, "--simulate", generated=folders / "generated", **options).exit_code == 2


def test_fit_without_images_does_nothing(folders, tmp_path):
    result = run(fit, real=tmp_path, generated=folders / "generated", output=tmp_path / "model")
    assert result.exit_code == 3
    assert "no images found" in result.stderr


def test_evaluate_measures_each_generator(folders, fitted, tmp_path):
    out = tmp_path / "figures.json"
    result = CliRunner().invoke(
        evaluate,
        [
            f"--real={folders / 'real'}",
            f"--generated=easy={folders / 'generated'}",
            f"--generated=none={folders / 'real'}",
            f"--model={fitted[0]}",
            f"--out={out}",
        ],
    )
    assert result.exit_code == 0, result.output
    figures = json.loads(out.read_text())["rows"]
    rows = {(row["generator"], row["perturbation"]): row for row in figures}
    assert {name for _, name in rows} == {"none", "jpeg-90", "jpeg-75"}
    assert rows["easy", "none"]["auc"][0] > 0.95
    assert rows["none", "none"]["auc"][0] == pytest.approx(0.5)
    assert rows["easy", "none"]["region"] == 64


def test_evaluate_notes_an_unreadable_file(folders, fitted, tmp_path):
    for source in list((folders / "generated").iterdir())[:4]:
        (tmp_path / source.name).write_bytes(source.read_bytes())
    (tmp_path / "broken.png").write_bytes(source.read_bytes()[:100])
    result = run(evaluate, real=folders / "real", generated=f"some={tmp_path}", model=fitted[0])
    assert result.exit_code == 1
    assert list(json.loads(result.stdout)["failed"]) == [str(tmp_path / "broken.png")]


def test_evaluate_wants_a_name_for_the_folder(folders):
    assert run(evaluate, real=folders / "real", generated=folders).exit_code == 2
