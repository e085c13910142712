"""The pictures: what they are computed from, and that they carry no reference to the outside."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gandetect.report import plots

FREQUENCY = np.linspace(0, 0.5, 5)
PROFILES = np.array([[0.0, 1, 2, 3, 4], [2.0, 3, 4, 5, 6], [4.0, 5, 6, 7, 11]])


def test_spread_is_mean_and_population_deviation() -> None:
    series = plots.spread("a", FREQUENCY, PROFILES)
    np.testing.assert_allclose(series.mean, PROFILES.mean(0))
    np.testing.assert_allclose(series.high - series.mean, PROFILES.std(0))
    np.testing.assert_allclose(series.mean - series.low, PROFILES.std(0))


def test_spread_by_percentiles() -> None:
    series = plots.spread("a", FREQUENCY, PROFILES, "percentile")
    np.testing.assert_allclose(series.low, np.percentile(PROFILES, 5, axis=0))
    np.testing.assert_allclose(series.high, np.percentile(PROFILES, 95, axis=0))


@pytest.mark.parametrize(
    ("frequency", "profiles", "band", "message"),
    [
        (FREQUENCY, PROFILES, "range", "band 'range' given"),
        (FREQUENCY[:4], PROFILES, "std", "want"),
        (FREQUENCY, PROFILES[:0], "std", "N >= 1"),
    ],
)
def test_spread_refuses(
    frequency: np.ndarray, profiles: np.ndarray, band: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plots.spread("a", frequency, profiles, band)


def test_profile_bands_has_a_panel_per_projection() -> None:
    series = [plots.spread(name, FREQUENCY, PROFILES) for name in ("real", "<b>&")]
    picture = plots.profile_bands({"rows": series, "columns": series}).decode()
    for text in ("rows", "columns", "real", "&lt;b&gt;&amp;", "frequency, cycles per pixel"):
        assert f">{text}</text>" in picture
    assert plots.profile_bands({"rows": series}, image_format="png").startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("_hidden", " _hidden"),
        ("$\\frac{$", "$\\frac{$"),
        ("5$ or 6$", "5$ or 6$"),
        ("W" * 200, "W" * 39 + "…"),
        ("line\nbreak\x1b", "line?break?"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_any_name_can_stand_in_the_legend(name: str, shown: str) -> None:
    series = [plots.spread(name, FREQUENCY, PROFILES)]
    assert f">{shown}</text>" in plots.profile_bands({"rows": series}).decode()


def test_profile_bands_refuses() -> None:
    with pytest.raises(ValueError, match="no profiles"):
        plots.profile_bands({})
    series = [plots.spread("a", FREQUENCY, PROFILES)]
    with pytest.raises(ValueError, match="format 'gif'"):
        plots.profile_bands({"rows": series}, image_format="gif")


def test_histogram_names_the_three_bands() -> None:
    picture = plots.score_histogram({"real": [-3.0, 0.0, 5.0, np.inf]}, -1.0, 2.0).decode()
    for word in ("real", "inconclusive", "generated"):
        assert f">{word}</text>" in picture
    assert ">inconclusive<" not in plots.score_histogram({"real": [1.0]}).decode()
    assert plots.score_histogram({}, -1.0, 2.0)


def test_histogram_has_the_colors_of_the_verdicts() -> None:
    """Thresholds of classes overlap, so that no band would tell them."""
    scores = {"generated": [0.5, 2.0], "real": [0.4, -1.0, np.nan], "inconclusive": []}
    picture = plots.score_histogram(scores).decode()
    assert ">generated (2)</text>" in picture
    assert ">real (2)</text>" in picture
    assert "inconclusive" not in picture
    for word in ("generated", "real"):
        assert plots.VERDICT_COLORS[word] in picture


def test_timeline_thins_long_videos_and_skips_unscored_frames() -> None:
    n = 20_000
    picture = plots.timeline(list(np.arange(n) / 25), [0.5] * n, ["real"] * n)
    assert len(picture) < 400_000
    picture = plots.timeline([None, 1.0], [0.2, None], ["real", "inconclusive"]).decode()
    assert ">frame</text>" in picture
    assert ">inconclusive</text>" not in picture


def test_timeline_marks_cuts_and_thresholds() -> None:
    def lines(shots: list[int | None], levels: tuple[float | None, float | None]) -> list[int]:
        picture = plots.timeline(
            [0.0, 1.0, 2.0, 3.0], [0.1] * 4, ["real"] * 4, shots=shots, thresholds=levels
        ).decode()
        return [picture.count("stroke-opacity: 0.3;"), picture.count("stroke-dasharray: 3.2,2.4")]

    assert lines([0, 0, 0, 0], (0.1, 0.9)) == [0, 2]
    assert lines([0, 1, 1, 2], (None, 0.9)) == [2, 1]
    assert lines([0, None, None, 1], (None, None)) == [1, 0]
    assert lines([], (None, None)) == [0, 0]


def test_inline_svg_refers_to_nothing_and_takes_the_color_of_the_page() -> None:
    markup = plots.inline_svg(plots.score_histogram({"real": [0.0, 1.0]}, -1.0, 2.0))
    assert markup.startswith("<svg")
    assert not re.search(r"https?:|<\?xml|<!DOCTYPE|<metadata", markup)
    assert not re.match(r"<svg[^>]*(width|height)=", markup)
    assert "currentColor" in markup
    assert plots.INK not in markup


def test_pictures_are_reproducible() -> None:
    first, second = (plots.score_histogram({"real": [0.0, 1.0]}, -1.0, 2.0) for _ in range(2))
    assert first == second
