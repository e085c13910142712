"""The report on a plain network: its errors, its feature maps, what it answers to."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from gandetect.cli.explain import command
from gandetect.detect import Model, cut_tiles, load_shipped
from gandetect.detect.networks import PixelNetwork
from gandetect.detect.planes import PlaneSpec
from gandetect.media import read_luma
from gandetect.report.networks import (
    Judged,
    NetworkReport,
    difference_map,
    mean_activation,
    misclassified,
    most_confident,
    network_report,
    pixel_network,
)
from gandetect.report.networks_show import network_page, network_png

SIDE = 32


@pytest.fixture(scope="module")
def model() -> Model:
    """A network that takes bright tiles for generated: its first filter passes the pixel on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PixelNetwork((2, 3), 4)
    weights = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    weights["conv1.weight"][0, 0, 1, 1] = 1.0
    weights["conv2.weight"][1, 0, 1, 1] = 1.0
    # The mean of the second channel's grid, doubled, less a threshold.
    weights["dense1.weight"][0, 64:128] = 2 / 64
    weights["dense2.weight"][0, 0] = 10.0
    weights["dense2.bias"][0] = -2.5
    return Model.create(
        "bright", "cnn", "network", PlaneSpec("pixels", SIDE), weights, tile=SIDE,
        platt=(1.0, 0.0), real_scores=torch.linspace(-3, 0, 100),
        generated_scores=torch.linspace(0, 3, 100),
        details={"network": {"name": "pixels", "settings": network.settings}},
    )  # fmt: skip


def save(path: Path, level: int, seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> Path:
    noise = np.random.default_rng(seed).integers(-9, 10, size)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((level + noise).clip(0, 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Six dark photographs and a bright one, four bright fakes and two dark ones."""
    root = tmp_path_factory.mktemp("labeled")
    for number in range(6):
        save(root / "real" / f"dark{number}.png", 60 + number, number)
    save(root / "real" / "snow.png", 240, 10)
    for number in range(4):
        save(root / "generated" / f"bright{number}.png", 215 + 5 * number, 20 + number)
    save(root / "generated" / "night.png", 20, 30, (70, 100))
    save(root / "generated" / "dusk.png", 130, 31)
    return root / "real", root / "generated"


@pytest.fixture(scope="module")
def report(model: Model, folders: tuple[Path, Path]) -> NetworkReport:
    return network_report(model, *folders)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def judged(label: int, p: float) -> Judged:
    return Judged(f"{label} {p}", label, float(np.log(p / (1 - p))), p, "inconclusive")


def test_errors_come_in_order_of_confidence() -> None:
    given = [judged(0, 0.6), judged(1, 0.9), judged(1, 0.05), judged(0, 0.2), judged(0, 0.97)]
    assert [one.p_generated for one in misclassified(given)] == [0.97, 0.05, 0.6]
    assert [one.confidence for one in misclassified(given)] == pytest.approx([0.97, 0.95, 0.6])


def test_the_surest_group_is_a_share_of_its_class() -> None:
    given = [judged(label, p) for label in (0, 1) for p in np.linspace(0.01, 0.99, 150)]
    surest = most_confident(given, 1)
    assert [one.label for one in surest] == [1, 1]
    assert surest[0].p_generated == pytest.approx(0.99)
    assert most_confident(given, 0)[0].p_generated == pytest.approx(0.01)
    assert len(most_confident(given[:5], 0)) == 1


def test_images_are_judged_as_the_model_scores_them(model: Model, report: NetworkReport) -> None:
    assert len(report.judged) == 13
    for one in report.judged:
        tiles = cut_tiles(read_luma(one.path).as_uint8_range(), SIDE)
        assert one.logit == pytest.approx(float(model.logits(tiles).mean()), abs=1e-5)
        assert one.p_generated == pytest.approx(float(model.probability(one.logit)))
        assert one.label == ("/generated/" in one.path)
    assert report.counts() == {
        "real": {"images": 7, "wrong": 1},
        "generated": {"images": 6, "wrong": 2},
    }
    names = [Path(one.path).name for one in report.misclassified]
    assert set(names) == {"snow.png", "night.png", "dusk.png"}
    assert names[2] == "dusk.png"


def test_mean_activation_is_the_mean_of_images_not_of_tiles(
    model: Model, folders: tuple[Path, Path]
) -> None:
    one, many = folders[1] / "bright0.png", folders[1] / "night.png"
    maps = []
    for path in (one, many):
        tiles = cut_tiles(read_luma(path).as_uint8_range(), SIDE)
        maps.append(torch.relu(tiles.float() / 127.5 - 1).mean(dim=0))
    first, second = mean_activation(model, [str(one), str(many)])
    assert (tuple(first.shape), tuple(second.shape)) == ((2, 32, 32), (3, 16, 16))
    torch.testing.assert_close(first[0], (maps[0] + maps[1]) / 2)
    assert float(first[1].abs().max()) == 0
    assert float(second[1].max()) > 0


def test_the_difference_is_generated_less_real(report: NetworkReport) -> None:
    assert [Path(one.path).name for one in report.surest["generated"]] == ["bright3.png"]
    difference = difference_map(report.activations, 0)
    generated, real = (report.activations[name][0] for name in ("generated", "real"))
    torch.testing.assert_close(difference, generated.mean(dim=0) - real.mean(dim=0))
    # A bright tile passes the first of two filters, a dark one none.
    assert float(difference.mean()) == pytest.approx((230 / 127.5 - 1) / 2, abs=0.02)


def test_feature_maps_are_those_of_the_example(model: Model, folders: tuple[Path, Path]) -> None:
    path = folders[1] / "bright1.png"
    report = network_report(model, *folders, example=str(path))
    name, tile = report.example
    assert name == str(path)
    assert np.array_equal(tile, np.asarray(Image.open(path)))
    torch.testing.assert_close(report.maps[0][0], torch.from_numpy(tile).float() / 127.5 - 1)
    assert report.maps[1].shape == (3, 16, 16)


def test_without_an_example_the_surest_error_is_shown(report: NetworkReport) -> None:
    assert report.example[0] == report.misclassified[0].path
    assert [one for one, _ in report.gallery] == report.misclassified


def test_figure_and_page(report: NetworkReport) -> None:
    image = Image.open(io.BytesIO(network_png(report)))
    assert image.width > 1500
    assert np.asarray(image.convert("L")).std() > 10
    page = network_page(report)
    gallery, activations, maps = re.findall(r"<svg.*?</svg>", page, re.S)
    assert gallery.count("<image") == 3
    assert activations.count("<image") >= 6
    assert maps.count("<image") >= 3
    assert not re.search(r"https?:|<script|<link|url\((?!#)", page)
    for name in ("snow.png", "night.png", "dusk.png"):
        assert f"{name}</bdi></td>" in page
    assert "6 / 7" in page


def test_a_network_without_errors_has_no_gallery(model: Model, folders: tuple[Path, Path]) -> None:
    report = network_report(model, *folders)
    right = [one for one in report.judged if not one.wrong]
    flawless = NetworkReport(
        report.model, right, [], report.surest, report.activations, report.example, report.maps, []
    )
    assert "None of these images" in network_page(flawless)
    assert network_png(flawless).startswith(b"\x89PNG")


def test_another_model_is_refused() -> None:
    with pytest.raises(ValueError, match="fit --classifier cnn"):
        pixel_network(load_shipped())


def test_command_writes_and_lists(model: Model, folders: tuple[Path, Path], tmp_path: Path) -> None:
    model.save(tmp_path / "cnn.safetensors")
    shared = ("--model", tmp_path / "cnn.safetensors", "--network-report", *folders)
    outs = [tmp_path / f"inside.{extension}" for extension in ("png", "html", "json")]
    result = run(*shared, *[part for out in outs for part in ("--out", out)])
    assert result.exit_code == 0, result.output
    heads = (b"\x89PNG", b"<!DOCTYPE html>", b"{")
    assert all(out.read_bytes().startswith(head) for out, head in zip(outs, heads, strict=True))
    assert "6 of 7 real images taken for real" in result.stdout
    assert result.stdout.index("night.png") < result.stdout.index("dusk.png")
    said = json.loads(run(*shared, folders[1] / "bright1.png", "--json").stdout)
    assert said["example"].endswith("bright1.png")
    assert len(said["misclassified"]) == 3
    assert np.shape(said["activation"]["conv2"]["difference_map"]) == (16, 16)
    documented = (Path(__file__).parents[2] / "docs" / "explaining.md").read_text("utf-8")
    assert {key for key in said if f"`{key}`" not in documented} == set()


def test_what_cannot_be_judged_is_named(
    model: Model, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    model.save(tmp_path / "cnn.safetensors")
    save(tmp_path / "real" / "good.png", 60, 0)
    save(tmp_path / "real" / "small.png", 60, 0, (20, 20))
    (tmp_path / "real" / "cut.png").write_bytes((folders[0] / "snow.png").read_bytes()[:300])
    (tmp_path / "empty").mkdir()
    shared = ("--model", tmp_path / "cnn.safetensors", "--network-report")
    result = run(*shared, tmp_path / "real", folders[1])
    assert result.exit_code == 1, result.output
    assert "small.png: " in result.stderr
    assert "cut.png: truncated" in result.stderr
    assert "1 of 1 real images" in result.stdout
    nothing = run(*shared, tmp_path / "empty", folders[1])
    assert nothing.exit_code == 3
    assert "no image" in nothing.stderr


def test_usage_errors(folders: tuple[Path, Path], tmp_path: Path) -> None:
    for arguments, message in (
        (("--network-report", *folders), "fit --classifier cnn"),
        (("--network-report", *folders, "--frame", 1), "leave --frame"),
        (("--network-report", folders[0]), "requires 2 arguments"),
        (("--network-report", folders[0], tmp_path / "none"), "does not exist"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2, result.output
        assert message in result.output
