"""Naming the source of an image: names, unknown, the model file, the refusals, the command."""

import json
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from noise_images import pink_images, upsampled_images
from PIL import Image
from scipy import ndimage
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from gandetect.cli.attribute import command
from gandetect.cli.evaluate import command as evaluate
from gandetect.cli.explain import command as explain
from gandetect.cli.fit import command as fit
from gandetect.detect import Model
from gandetect.detect.attribution import REAL, UNKNOWN, Calibration, attribute
from gandetect.detect.attribution_training import Sources, balanced_accuracy, fit_sources
from gandetect.detect.attributor import Attributor, fit_temperature
from gandetect.detect.audit import LeakError
from gandetect.detect.contributions import contributions
from gandetect.detect.networks.training import Schedule
from gandetect.screen.pipeline import screen

SIDE, COUNT = 64, 24


def zero_inserted(count, side, seed):
    """Noise at half the size with zeros between the samples, filled by a wide kernel."""
    small = pink_images(count, side // 2, seed).astype(np.float64)
    large = np.zeros((count, side, side))
    large[:, ::2, ::2] = small
    line = np.array([0.3, 1.0, 0.7])
    filled = ndimage.convolve(large, np.outer(line, line)[None], mode="wrap")
    return filled.clip(0, 255).round().astype(np.uint8)


def smooth(count, side, seed):
    small = pink_images(count, side // 2, seed).astype(np.float64)
    return ndimage.zoom(small, (1, 2, 2), order=1, mode="grid-wrap", grid_mode=True).astype(
        np.uint8
    )


MAKERS = {REAL: pink_images, "copies": upsampled_images, "zeros": zero_inserted}


def images(makers, count=COUNT, seed=0):
    """Images (N, SIDE, SIDE) and the names of their makers."""
    made = [make(count, SIDE, seed + 100 * n) for n, make in enumerate(makers.values())]
    return np.concatenate(made), np.repeat(list(makers), count)


@pytest.fixture(scope="module")
def attributor():
    return Attributor(tile=SIDE).fit(*images(MAKERS))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("sources")
    for number, (name, make) in enumerate(MAKERS.items()):
        (root / name).mkdir()
        for index, image in enumerate(make(COUNT, SIDE, 100 * number)):
            Image.fromarray(image).save(root / name / f"{name}{index}.png")
    return root


@pytest.fixture(scope="module")
def fitted(folders):
    """A model file, and what `attribute --fit --json` said of it."""
    path = folders / "sources.safetensors"
    sources = [f"--source={name}={folders / name}" for name in ("copies", "zeros")]
    result = run("--fit", f"--real={folders / REAL}", *sources, "-o", path, "--tile", SIDE)
    assert result.exit_code == 0, result.output
    return path, json.loads(result.stdout)


def run(*arguments):
    return CliRunner().invoke(command, [*map(str, arguments), "--json"])


def test_new_images_of_known_sources_get_their_names(attributor):
    new, names = images(MAKERS, seed=7)
    assert (attributor.predict(new) == names).mean() > 0.95
    shares = attributor.predict_proba(new)
    assert shares.sum(axis=1) == pytest.approx(1)
    assert (attributor.classes_[shares.argmax(axis=1)] == attributor.predict(new)).all()


def test_about_the_stated_rate_of_known_images_is_called_unknown(attributor):
    new, _ = images(MAKERS, count=80, seed=9)
    assert 0.01 < (~attributor.predict_known(new)).mean() < 0.15


def test_a_source_never_shown_is_novel(attributor):
    known, _ = images(MAKERS, seed=11)
    strange = smooth(COUNT, SIDE, 12)
    novelty = attributor.novelty(np.concatenate([known, strange]))
    assert roc_auc_score(np.repeat([0, 1], [len(known), COUNT]), novelty) > 0.9
    assert (attributor.predict_known(strange) == (attributor.novelty(strange) <= 1)).all()


def test_images_of_one_photograph_are_held_out_together():
    """Sixteen copies of each image: held out one by one, every novelty would be nothing."""
    few, names = images(MAKERS, count=5)
    copies, repeated = few.repeat(3, axis=0), names.repeat(3)
    together = Attributor(tile=SIDE).fit(copies, repeated, groups=np.arange(len(few)).repeat(3))
    apart = Attributor(tile=SIDE).fit(copies, repeated)
    assert together.calibration_.unknown_from > 3 * apart.calibration_.unknown_from


@parametrize_with_checks([Attributor(random_state=0)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_a_network_takes_no_matrix():
    with pytest.raises(ValueError, match="takes images"):
        Attributor("fingerprint").fit(np.zeros((4, 3)), ["a", "a", "b", "b"])


def test_the_temperature_makes_shares_as_frequent_as_they_say():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((4000, 3)) * 2
    shares = torch.softmax(torch.from_numpy(logits), dim=1).numpy()
    labels = np.array([rng.choice(3, p=row) for row in shares])
    assert fit_temperature(7 * logits, labels) == pytest.approx(7, rel=0.1)


def test_shares_are_the_softmax_of_cooled_logits():
    shares = Calibration(("real", "a"), 4.0, 1.0, 0.05).shares(torch.tensor([[0.0, 8.0]]))
    assert shares[0, 1].item() == pytest.approx(1 / (1 + np.exp(-2)))


def test_balanced_accuracy_weighs_classes_alike_and_resamples_groups():
    labels = np.repeat([0, 1], [90, 10])
    hits = labels == 0
    hits[:45] = False
    groups = np.arange(100)
    value = balanced_accuracy(hits, labels, groups)
    assert value.value == pytest.approx(0.25)
    clustered = balanced_accuracy(hits, labels, groups // 10)
    assert clustered.high - clustered.low > 1.5 * (value.high - value.low)


def test_the_model_file_names_as_the_fit_did(fitted, folders):
    path, said = fitted
    model = Model.load(path)
    planes = torch.from_numpy(images(MAKERS, seed=7)[0])
    found = attribute(model, planes)
    names = images(MAKERS, seed=7)[1]
    right = [one.name == name for one, name in zip(found, names, strict=True)]
    assert np.mean(right) > 0.85
    assert sum(found[0].shares.values()) == pytest.approx(1)
    assert found[0].name in (*MAKERS, UNKNOWN)
    assert said["balanced_accuracy"][0] > 0.9
    assert said["sha256"] == model.sha256


def test_the_card_holds_what_the_names_are_worth(fitted):
    path, said = fitted
    held_out = Model.load(path).card["attribution"]["held_out"]
    assert held_out["confusion"] == said["confusion"]
    for name, row in held_out["confusion"].items():
        assert sum(row.values()) == COUNT
        assert row[name] == max(row.values())
    assert set(held_out["unknown"]) == {"copies", "zeros"}
    assert all(one["auc"][0] > 0.9 for one in held_out["unknown"].values())
    unknown = sum(row[UNKNOWN] for row in held_out["confusion"].values())
    assert 1 <= unknown <= 0.05 * 3 * COUNT + 1


def test_the_same_file_screens(fitted, folders, tmp_path):
    path, _ = fitted
    model = Model.load(path)
    planes, names = images(MAKERS, seed=7)
    assert ((model.logits(torch.from_numpy(planes)) > 0).numpy() == (names != REAL)).mean() > 0.9
    summary = screen(
        [folders / "zeros"], model=path, db=tmp_path / "run.sqlite", fpr=0.2, workers=1
    )
    assert (summary.n_files, summary.n_errors) == (COUNT, 0)


def summed(model, squares):
    """The breakdown of the logit, checked against it."""
    found = contributions(model, squares)
    assert found.logit == float(model.logits(squares).double().mean())
    assert found.total == pytest.approx(found.logit, abs=found.tolerance)
    return found


def test_terms_sum_to_the_logit_of_any_generator(fitted):
    model = Model.load(fitted[0])
    for maker, sign in ((REAL, -1), ("copies", 1), ("zeros", 1)):
        found = summed(model, torch.from_numpy(MAKERS[maker](3, SIDE, 5000)))
        (member,) = found.members
        assert np.sign(found.logit) == sign
        # A typical real image is where the terms start from, and called real.
        assert member.bias < 0
        assert found.exact
        assert found.tolerance < 1e-3
        assert member.groups == (
            ("spectral profile", 120), ("log spectrum", 81), ("phases of a grid", 242),
        )  # fmt: skip
        assert len(member.values) == 120 + 81 + 242


def test_the_command_explains_a_verdict_on_sources(fitted, folders, tmp_path):
    page = tmp_path / "why.html"
    asked = [str(folders / "zeros" / "zeros0.png"), f"--model={fitted[0]}", "--fpr=0.2"]
    said, written = (CliRunner().invoke(explain, [*asked, *o]) for o in ([], [f"--out={page}"]))
    assert said.exit_code == written.exit_code == 0, said.output + written.output
    for words in ("phases of a grid", "242 features", "a typical real image"):
        assert words in said.stdout
        assert words in page.read_text()
    assert "What each feature adds" in page.read_text()


def test_fit_and_evaluate_agree_on_what_leaks(fitted, folders, tmp_path):
    """Of sources that differ in brightness alone: no method sees it, so no audit counts it."""
    for path in (folders / "zeros").iterdir():
        bright = np.asarray(Image.open(path)) // 4 + 180
        Image.fromarray(bright.astype(np.uint8)).save(tmp_path / path.name)
    sources = Sources(SIDE)
    for name, folder in ((REAL, folders / REAL), ("bright", tmp_path)):
        sources.add(name, folder)
    card = fit_sources(sources, name="bright").fit.model.card
    assert card["audits"]["bright"]["brightness"][0] > 0.9
    assert not card["audits"]["bright"]["leaks"]
    model = Model.load(fitted[0])
    assert model.cancels_brightness
    assert not model.ignores_brightness
    asked = [f"--model={fitted[0]}", f"--real={folders / REAL}", f"--generated=bright={tmp_path}"]
    result = CliRunner().invoke(evaluate, [*asked, "--fpr=0.2", "--json"])
    assert result.exit_code == 0, result.output
    audit = json.loads(result.stdout)["audit"]["bright"]
    assert audit["brightness"][0] > 0.9
    assert not audit["leaks"]


def test_a_leak_between_sources_is_refused(folders, tmp_path):
    """One is JPEG and one PNG, the real ones half and half: real against others shows nothing."""
    sources = Sources(SIDE)
    for name, written in ((REAL, (".jpg", ".png")), ("copies", (".jpg",)), ("zeros", (".png",))):
        (tmp_path / name).mkdir()
        for number, path in enumerate(sorted((folders / name).iterdir())):
            suffix = written[number % len(written)]
            Image.open(path).save(tmp_path / name / f"{path.stem}{suffix}", quality=95)
        sources.add(name, tmp_path / name)
    with pytest.raises(LeakError):
        fit_sources(sources, name="leaky")
    audits = fit_sources(sources, name="leaky", allow_leak=True).fit.model.card["audits"]
    assert {name: found["leaks"] for name, found in audits.items()} == {
        REAL: False, "copies": True, "zeros": True,
    }  # fmt: skip


def test_a_fingerprint_model_goes_through_a_file(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("gandetect.detect.attributor.SCHEDULE", Schedule(epochs=1, batch=8))
    sources = Sources(SIDE)
    for name in MAKERS:
        (tmp_path / name).mkdir()
        for path in sorted((folders / name).iterdir())[:5]:
            (tmp_path / name / path.name).write_bytes(path.read_bytes())
        sources.add(name, tmp_path / name)
    model = fit_sources(sources, name="nets", method="fingerprint", allow_leak=True).fit.model
    model.save(tmp_path / "nets.safetensors")
    planes = torch.from_numpy(images(MAKERS, count=2)[0])
    found = attribute(Model.load(tmp_path / "nets.safetensors"), planes)
    assert found == attribute(model, planes)
    assert all(one.novelty > 0 for one in found)
    assert len({one.novelty for one in found}) == len(found)
    (member,) = summed(model, planes[:1]).members
    assert member.values.shape == (1, SIDE, SIDE)


def test_other_models_name_nothing(linear_model):
    with pytest.raises(ValueError, match="--fit"):
        attribute(linear_model, [])


def test_a_damaged_calibration_is_refused():
    card = Calibration(("real", "a"), 1.0, 2.0, 0.05).to_card()
    assert Calibration.from_card(card).classes == ("real", "a")
    card["attribution"]["temperature"] = 0.0
    with pytest.raises(ValueError, match="positive"):
        Calibration.from_card(card)


def test_the_command_names_files_and_notes_those_it_cannot_read(fitted, folders, tmp_path):
    (tmp_path / "broken.png").write_bytes((folders / "zeros" / "zeros0.png").read_bytes()[:90])
    result = run(folders / "zeros" / "zeros0.png", tmp_path, f"--model={fitted[0]}")
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    (row,) = said["files"]
    assert row["name"] == "zeros"
    assert set(row) == {"path", "name", "shares", "novelty"}
    assert list(said["failed"]) == [str(tmp_path / "broken.png")]


def test_the_command_prints_tables(fitted, folders, tmp_path):
    arguments = [str(folders / "copies"), "--model", str(fitted[0])]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0
    assert "copies" in result.stdout
    places = ["--real", str(folders / REAL), "--source", f"copies={folders / 'copies'}"]
    output = str(tmp_path / "two.safetensors")
    result = CliRunner().invoke(command, ["--fit", *places, "-o", output, "--tile", str(SIDE)])
    assert result.exit_code == 0, result.output
    assert "balanced accuracy" in result.stdout
    assert "leak audit of copies: passed" in result.stdout


def test_fit_takes_the_sources_of_subfolders(fitted, folders, tmp_path):
    for name in ("copies", "zeros"):
        shutil.copytree(folders / name, tmp_path / "made" / name)
    path = tmp_path / "sources.safetensors"
    given = [f"--real={folders / REAL}", f"--generated={tmp_path / 'made'}", f"--tile={SIDE}"]
    flags = ["--classifier=attribution", f"--output={path}", "--json"]
    result = CliRunner().invoke(fit, [*given, *flags])
    assert result.exit_code == 0, result.output
    assert path.read_bytes() == fitted[0].read_bytes()
    assert json.loads(result.stdout) == {**fitted[1], "model": str(path)}
    wrong = CliRunner().invoke(fit, [*given[:1], f"--generated={folders / 'zeros'}", *flags])
    assert wrong.exit_code == 2
    assert "a sub-folder for each generator" in wrong.stderr
    (tmp_path / "made" / ".cache").mkdir()
    assert CliRunner().invoke(fit, [*given, *flags]).exit_code == 0
    (tmp_path / "made" / "real").mkdir()
    assert "none of them named real or unknown" in CliRunner().invoke(fit, [*given, *flags]).stderr
    assert CliRunner().invoke(fit, [given[0], "--simulate", *flags]).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--fit"],
        ["--real", "."],
        ["--fit", "--real", ".", "--source", "nowhere", "-o", "m"],
        ["--fit", "--real", ".", "--source", "real=.", "-o", "m"],
        ["--fit", "--real", ".", "--source", "a=.", "-o", "m", "--tile", "65"],
    ],
)
def test_usage_errors(arguments):
    assert run(*arguments).exit_code == 2


def test_nothing_is_fitted_to_an_empty_folder(tmp_path):
    (tmp_path / "a").mkdir()
    result = run("--fit", f"--real={tmp_path}", f"--source=a={tmp_path / 'a'}",
                 f"--output={tmp_path / 'm'}")  # fmt: skip
    assert result.exit_code == 3
    assert "no images found" in json.loads(result.stdout)["error"]
