"""`gandetect experiment reproduce`: inputs, refusals, exit codes and what is printed."""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner
from PIL import Image

from gandetect.cli import main
from gandetect.experiments import SETTINGS, read_folders, read_table

FEATURES = np.random.default_rng(0).normal(size=(30, 80)) + np.repeat([0, 3], 15)[:, None]
LABELS = np.repeat([0, 1], 15)
VIDEOS = np.array([f"v{i % 6}" for i in range(30)])


def run(*arguments: object):
    return CliRunner().invoke(main, ["experiment", "reproduce", *map(str, arguments)])


def write_npz(path, **columns):
    np.savez(path, **columns)
    return path


@pytest.fixture
def table(tmp_path):
    return write_npz(tmp_path / "t.npz", label=LABELS, features=FEATURES, video=VIDEOS)


def named() -> dict[str, np.ndarray]:
    return {"label": LABELS, "video": VIDEOS} | {f"f{i}": FEATURES[:, i] for i in range(80)}


def write_csv(path):
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(named())
        rows.writerows(zip(*(column.tolist() for column in named().values()), strict=True))


@pytest.mark.parametrize("suffix", ["npz", "csv", "parquet"])
def test_tables_of_every_kind_hold_the_same(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    if suffix == "npz":
        write_npz(path, **named())
    elif suffix == "csv":
        write_csv(path)
    else:
        pyarrow.parquet.write_table(pyarrow.table(named()), path)
    samples = read_table(path, SETTINGS["celeba"])
    np.testing.assert_array_equal(samples.features, FEATURES)
    np.testing.assert_array_equal(samples.labels, LABELS)
    np.testing.assert_array_equal(samples.sources, VIDEOS)


def test_labels_of_the_authors_are_turned_where_real_is_one(tmp_path):
    path = write_npz(tmp_path / "t.npz", label=LABELS, features=np.ones((30, 300)))
    turned = read_table(path, SETTINGS["deepfake-detection"], published_labels=True)
    np.testing.assert_array_equal(turned.labels, 1 - LABELS)


def test_json_holds_published_and_measured(table, tmp_path):
    out = tmp_path / "result.json"
    result = run("--setting", "celeba", "--features", table, "--json", "--out", out)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said == json.loads(out.read_text())
    rows = {(row["classifier"], row["samples"]): row for row in said["rows"]}
    assert rows["svm-poly", 2000]["published"] == 0.9855
    assert rows["svm-poly", 2000]["reason"] == "needs 1000 of each class"
    assert rows["svm-linear", 30]["mean"] == 1.0
    assert len(rows["svm-linear", 30]["values"]) == 10
    assert said["audit"] is None


def test_the_table_for_people_shows_both_and_the_doubts(table):
    result = run("--setting", "celeba", "--features", table)
    assert result.exit_code == 0, result.output
    assert "98.55%" in result.stdout
    assert "100.0% ± 0.0" in result.stdout
    assert "default gamma" in result.stdout
    assert "leak audit: not made" in result.stdout


def test_folders_are_audited_and_the_verdict_is_printed(celeba_folders):
    result = run(
        *("--setting", "celeba", "--real", celeba_folders / "real"),
        *("--generated", celeba_folders / "generated"),
    )
    assert result.exit_code == 0, result.output
    assert "leak audit: LEAKS" in result.stdout
    assert "height 1.00" in result.stdout


def test_a_file_that_cannot_be_read_is_named(frames, tmp_path):
    for label in ("real", "generated"):
        for number, path in enumerate(sorted((frames / label).rglob("*.png"))[::4]):
            target = tmp_path / label / f"{number}.png"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    (tmp_path / "real" / "cut.png").write_bytes(path.read_bytes()[:200])
    result = run(
        *("--setting", "frank-dct", "--real", tmp_path / "real"),
        *("--generated", tmp_path / "generated"),
    )
    assert result.exit_code == 1, result.output
    assert "cut.png" in result.stderr


def test_a_wrong_size_is_refused_with_the_right_one(frames):
    folders = ("--real", frames / "real", "--generated", frames / "generated")
    result = run("--setting", "faces-hq", *folders)
    assert result.exit_code == 3
    assert "192 rows by 192 columns; faces-hq wants real images of 1024 by 1024" in result.stderr


def test_images_of_two_sizes_are_refused_where_the_features_depend_on_it(tmp_path, frames):
    for side in (32, 40):
        Image.new("L", (side, side)).save(tmp_path / f"{side}.png")
    result = run("--setting", "cloaking-score", "--real", tmp_path, "--generated", frames / "real")
    assert result.exit_code == 3
    assert "32x32 and of 40x40" in result.stderr


def test_a_class_without_images_is_named(frames, tmp_path):
    result = run("--setting", "celeba", "--real", tmp_path, "--generated", frames / "generated")
    assert result.exit_code == 3
    assert "no images found" in result.stderr


def test_the_video_of_a_frame_is_its_subfolder_or_what_the_pattern_finds(frames):
    setting = SETTINGS["deepfake-detection"]
    folders = (frames / "real", frames / "generated")
    by_folder = read_folders(*folders, setting)
    assert len(set(by_folder.sources)) == 8
    first = read_folders(*folders, setting, video_of=r"^(.)")
    assert set(first.sources) == set("cbgma")
    with pytest.raises(ValueError, match="finds none"):
        read_folders(*folders, setting, video_of="nothing like it")


def test_without_videos_a_subfolder_is_no_source(frames):
    samples = read_folders(frames / "real", frames / "generated", SETTINGS["frank-dct"])
    assert len(set(samples.sources)) == len(samples) // 2 == 48


def test_an_own_test_set_is_voted_by_video(tmp_path):
    x = np.tile(FEATURES[:, :1], (1, 300))
    train = write_npz(tmp_path / "train.npz", label=LABELS, features=x, video=VIDEOS)
    test = write_npz(tmp_path / "test.npz", label=LABELS, features=x, video=VIDEOS)
    result = run(
        *("--setting", "deepfake-detection", "--features", train),
        *("--test-features", test, "--json"),
    )
    assert result.exit_code == 0, result.output
    notes = json.loads(result.stdout)["notes"]
    (row,) = (
        row
        for row in json.loads(result.stdout)["rows"]
        if (row["classifier"], row["unit"], row["samples"]) == ("svm-rbf", "video", 30)
    )
    assert row["tested"] == 12
    assert row["interval"] is not None
    assert any("6 sources are in the training and in the test set" in note for note in notes)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"features": FEATURES}, "no column 'label'"),
        ({"label": LABELS}, "no columns of features"),
        ({"label": LABELS + 1, "features": FEATURES}, "labels must be 0 or 1"),
        ({"label": LABELS, "features": FEATURES[:, :79]}, "79 features; celeba has 80"),
        ({"label": LABELS[:29], "features": FEATURES}, "29 labels for 30 rows"),
        ({"label": LABELS, "features": np.where(FEATURES > 5, np.nan, FEATURES)}, "not all finite"),
        ({"label": LABELS * 0, "features": FEATURES}, "30 real and 0 generated"),
    ],
)
def test_a_table_that_is_not_one_is_refused(tmp_path, columns, message):
    path = write_npz(tmp_path / "t.npz", **columns)
    result = run("--setting", "celeba", "--features", path, "--json")
    assert result.exit_code == 3
    assert message in json.loads(result.stdout)["error"]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--real", "."),
        ("--real", ".", "--generated", ".", "--features", __file__),
        ("--features", __file__, "--test-real", "."),
        ("--features", __file__, "--video-of", "x"),
        ("--real", ".", "--generated", ".", "--published-labels"),
    ],
)
def test_inputs_that_contradict_each_other_are_bad_usage(arguments):
    assert run("--setting", "celeba", *arguments).exit_code == 2


def test_help_lists_the_settings_and_loads_no_torch():
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from gandetect.cli import main\n"
        "for words in ([], ['experiment'], ['experiment', 'reproduce']):\n"
        "    shown = CliRunner().invoke(main, [*words, '--help'])\n"
        "    assert shown.exit_code == 0, shown.output\n"
        "assert 'torch' not in sys.modules and 'sklearn' not in sys.modules\n"
        "print(shown.output)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(name in done.stdout for name in SETTINGS)
