"""The report of the up-sampling experiment: its words follow the numbers, its page shows every
figure and loads nothing, and what is missing is said."""

from __future__ import annotations

import copy
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from upsampling_results import BEST, results_for, save, write_folder

from gandetect.report.upsampling import (
    FIGURES,
    file_names,
    report_page,
    tables_markdown,
    write_report,
)
from gandetect.report.upsampling_figures import Gallery, gallery
from gandetect.report.upsampling_sections import sections
from gandetect.report.upsampling_words import answers
from gandetect.screen.store import StoreError

PLAIN = ("nearest", "bed_of_nails", "pixel_shuffle")
HOSTILE = "<script>alert(1)</script>\"'$\\frac{$|`*_x_\n\u202e" + "W" * 60
HARMLESS = "x" * len(HOSTILE)
STAGES = ("goals", "generators", "learned", "spectra", "detection", "transfer", "joint",
          "attribution", "learning", "robustness", "others", "audit", "detectors")  # fmt: skip
Results = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole experiment, reported."""
    made = write_folder(tmp_path_factory.mktemp("upsampling"), results_for(PLAIN))
    write_report(made)
    return made


@pytest.fixture(scope="module")
def page(folder: Path) -> str:
    return (folder / "report.html").read_text()


@pytest.fixture
def results() -> Results:
    return results_for(PLAIN)


def undrawn(results: Results) -> str:
    """The page without pictures."""
    return report_page(results, sections(results), Gallery())


def words(results: Results, key: str) -> str:
    """The sentences of one section."""
    (section,) = (one for one in sections(results) if one.key == key)
    return "\n".join(section.words)


def said(results: Results, question: str, section: str) -> str:
    """What an answer says of the table in `section`."""
    (answer,) = (one for one in answers(results) if one.key == question)
    (finding,) = (one.text for one in answer.findings if one.section == section)
    return finding


def part_of(page: str, section: str) -> str:
    begin = page.index(f'<section id="{section}">')
    return page[begin : page.index("</section>", begin)]


def test_every_figure_is_written_as_a_picture(folder: Path) -> None:
    written = {path.stem: path for path in (folder / FIGURES).glob("*.png")}
    wanted = {"losses", "monitors", "spectra", "differences", "profiles", "others-profiles",
              "learning", "detection-auc", "left-out-auc", "robustness-mean", "samples-real",
              "samples-nearest-loss", "samples-nearest-1", "transfer-svm-rbf-both"}  # fmt: skip
    assert wanted <= set(written)
    for path in written.values():
        assert np.asarray(Image.open(path).convert("L")).std() > 5


def test_every_figure_of_the_page_has_a_caption(page: str) -> None:
    figures = re.findall(r"<figure.*?</figure>", page, re.S)
    assert len(figures) > 25
    assert all(re.search(r"<figcaption[^>]*>.{15}", figure, re.S) for figure in figures)
    assert page.count("<svg") == 7
    assert page.count("<img ") == 1 + 6


def test_the_page_loads_nothing(page: str) -> None:
    bare = re.sub(r'="data:image/[^"]*"', "", page)
    assert not re.search(r"https?://|<script|<link|src=|url\((?!#)", bare)
    assert "default-src 'none'" in page


def test_the_same_folder_gives_the_same_figures(folder: Path, results: Results) -> None:
    few = {"generators": results["generators"][:2], "learning": results["learning"]}
    first, second = (gallery(few, folder, []) for _ in range(2))
    assert [one.key for one in first.pictures["training"]] == ["losses", "monitors"]
    assert first == second


def test_each_cell_of_the_transfer_matrix_is_there_with_its_interval(
    page: str, results: Results
) -> None:
    section = part_of(page, "transfer")
    for detector in set(BEST.values()):
        for cell in results["transfer"][detector]["cells"]:
            told = "{:.3f} [{:.3f}, {:.3f}]".format(*cell["auc"])
            title = f'title="{cell["trained_on"]}, {cell["tested_on"]}: {told}"'
            value, interval = told.split(" ", 1)
            assert f"{title}>{value}<small>{interval}</small>" in section
    assert section.count("<th><bdi>all the others</bdi></th>") == len(set(BEST.values()))


def test_other_detectors_are_folded_but_there(page: str, results: Results) -> None:
    section = part_of(page, "detection")
    folded = section[section.index("<details>") :]
    assert "kmeans/both" in folded
    assert "svm-rbf/both" not in folded
    auc = results["detection"]["kmeans/both"]["nearest"]["tpr_at_0.05"]
    assert "{:.3f} [{:.3f}, {:.3f}]".format(*auc) in folded


def test_the_three_verdicts_stand_first_and_lead_to_their_answers(page: str) -> None:
    tally = page[page.index('<ul class="tally">') : page.index("<nav")]
    assert re.findall(r"<b>(.*?)</b>", tally) == ["Partly", "Yes", "Not decided"]
    for number in (1, 2, 3):
        assert f'href="#answer-{number}"' in tally
        assert f'id="answer-{number}"' in page


def test_every_link_leads_somewhere(page: str) -> None:
    links = set(re.findall(r'href="#([^"]*)"', page))
    assert len(links) > 15
    assert all(f'id="{link}"' in page for link in links)


def test_a_verdict_is_not_said_twice(results: Results) -> None:
    first = answers(results)[0]
    assert first.text == "Partly: not from each to each."
    results["answers"][0]["sentence"] = "Only in domain."
    assert answers(results)[0].text == "Partly. Only in domain."


def test_detection_in_words_follows_the_table(results: Results) -> None:
    rows = results["detection"]["svm-rbf/both"]
    for name, auc in zip(PLAIN, (0.9, 0.8, 0.7), strict=True):
        rows[name]["auc"] = [auc, auc - 0.01, auc + 0.01]
    told = "svm-rbf/both: mean AUC 0.800 over 3 generators, lowest for pixel_shuffle, 0.700 [0.690"
    assert told in said(results, "other_up_samplers", "detection")
    assert told in words(results, "detection")
    rows["nearest"]["auc"] = [0.6, 0.5, 0.7]
    assert "mean AUC 0.700 over 3 generators, lowest for nearest, 0.600 [0.500" in said(
        results, "other_up_samplers", "detection"
    )


def test_transfer_in_words_follows_the_table(results: Results) -> None:
    cells = results["transfer"]["svm-rbf/both"]["cells"]
    for cell in cells:
        cell["auc"] = [0.8, 0.7, 0.9]
    told = said(results, "other_up_samplers", "transfer")
    assert "mean AUC 0.800" in told
    assert "0 of 6 pairs no better than guessing" in told
    # The diagonal is another table's.
    cells[0]["auc"] = [0.1, 0.0, 0.2]
    assert said(results, "other_up_samplers", "transfer") == told
    cells[1]["auc"] = [0.2, 0.1, 0.5]
    told = said(results, "other_up_samplers", "transfer")
    assert "mean AUC 0.700" in told
    assert "worst trained on nearest, tested on bed_of_nails, 0.200 [0.100, 0.500]" in told
    assert "1 of 6 pairs no better than guessing" in told


@pytest.mark.parametrize(
    ("question", "first", "second"),
    [
        ("projections", "svm-rbf/projections", "svm-rbf/radial"),
        ("neural_network", "cnn/pixels", "svm-rbf/both"),
    ],
)
def test_comparisons_in_words_follow_the_tables(
    results: Results, question: str, first: str, second: str
) -> None:
    def put(detector: str, *aucs: float) -> None:
        for name, auc in zip(PLAIN, aucs, strict=True):
            results["detection"][detector][name]["auc"] = [auc, auc, auc]

    put(first, 0.9, 0.8, 0.7)
    put(second, 0.8, 0.8, 0.8)
    assert (
        f"{first} has the higher AUC in 1 of 3 cases, {second} in 1, equal in 1; mean 0.800 "
        "against 0.800." in said(results, question, "detection")
    )
    put(second, 0.6, 0.6, 0.6)
    assert (
        f"{first} has the higher AUC in 3 of 3 cases, {second} in 0; mean 0.800 against 0.600."
        in said(results, question, "detection")
    )
    sections_of = [one.section for one in answers(results)[1].findings]
    assert sections_of == ["detection", "transfer", "left-out", "joint", "learning", "robustness"]


@pytest.mark.parametrize(
    ("difference", "says"),
    [
        ([0.05, 0.01, 0.09], "svm-rbf/projections is better than svm-rbf/radial"),
        ([-0.05, -0.09, -0.01], "svm-rbf/radial is better than svm-rbf/projections"),
        ([0.05, -0.01, 0.09], "not decided"),
        ([0.05, None, None], "not decided"),
    ],
)
def test_evidence_says_what_its_interval_says(
    results: Results, difference: list[float | None], says: str
) -> None:
    results["answers"][1]["evidence"][0]["difference"] = difference
    row = answers(results)[1].evidence.rows[0]
    assert row[2:5] == (says, "yes", "0.950 against 0.900")
    assert answers(results)[1].evidence.rows[1][3] == "no"


def test_learning_in_words_follows_the_table(results: Results) -> None:
    rows = results["learned"]["rows"]
    rows["bed_of_nails"]["distance"] = 0.05
    rows["pixel_shuffle"]["distance"] = 19.04
    told = words(results, "learned")
    assert "smallest distance from the photographs is that of bed_of_nails, 0.050" in told
    assert "largest that of pixel_shuffle, 19.0" in told
    assert "noise 3.100" in told
    assert "6 of 6 generators have learned." in told
    rows["nearest"]["learned"] = False
    told = words(results, "learned")
    assert "5 of 6 generators have learned; these have not: nearest." in told


def test_spectral_training_in_words_follows_the_table(results: Results) -> None:
    rows = results["learned"]["rows"]
    rows["nearest"] |= {"spectral_l1": 1.0, "mmd": [0.03, 0.02, 0.04]}
    rows["nearest+loss"] |= {"spectral_l1": 0.4, "mmd": [0.035, 0.025, 0.045]}
    detectors = results["others"]["nearest+loss"]["detectors"]
    detectors["svm-rbf/both"]["own"]["auc"] = [0.77, 0.7, 0.8]
    told = words(results, "others")
    assert "nearest+loss: spectral L1 60 % below that of nearest" in told
    assert "MMD 0.035 against 0.030, the same within the intervals" in told
    assert "AUC 0.770 [0.700, 0.800] of svm-rbf/both trained on it" in told
    rows["nearest+loss"] |= {"spectral_l1": 1.1, "mmd": [0.3, 0.25, 0.35]}
    told = words(results, "others")
    assert "spectral L1 10 % above that of nearest" in told
    assert "MMD 0.300 against 0.030, larger" in told
    assert "-60 %" not in undrawn(results)
    assert "+10 %" in undrawn(results)


def test_what_would_mislead_comes_first(results: Results) -> None:
    assert "Mind" not in undrawn(results)
    results["preset"] = "smoke"
    results["audit"]["nearest"] |= {"leaks": True, "reason": "the size tells"}
    results["learned"]["rows"]["bed_of_nails"]["learned"] = False
    results["generators"][2]["failed"] = "a loss is nan"
    page = undrawn(results)
    head = page[: page.index('class="tally"')]
    assert head.count(">Mind<") == 4
    assert "The training of pixel_shuffle failed" in head
    assert "a loss is nan" in part_of(page, "training")
    assert "smoke run" in head
    assert "The files of nearest give the class away" in head
    assert "bed_of_nails learned too little" in head
    assert "LEAK" in part_of(page, "audit")
    assert "the size tells" in part_of(page, "audit")
    assert tables_markdown(results).count("**Mind:**") == 4


def test_robustness_begins_with_images_as_they_are(results: Results) -> None:
    (section,) = (one for one in sections(results) if one.key == "robustness")
    summary = section.matrices[0]
    assert summary.across == ("none", "jpeg-75", "resize-0.75")
    aucs = [row["auc"][0] for row in results["detection"]["svm-rbf/both"].values()]
    row = "svm-rbf/both, trained on clean images"
    assert summary.cells[row, "none"] == pytest.approx(np.mean(aucs))
    assert "cnn/pixels, resize-0.75: not measured, images are too small." in section.words


@pytest.mark.parametrize("key", STAGES)
@pytest.mark.parametrize("left", ["absent", "null", "reason"])
def test_a_stage_that_was_not_run_is_said(results: Results, key: str, left: str) -> None:
    if left == "absent":
        del results[key]
    else:
        results[key] = None if left == "null" else {"rows": None, "reason": "the disk was full"}
    if key == "generators" and left == "reason":
        results[key] = []
    page = undrawn(results)
    why = "the disk was full" if left == "reason" and key != "generators" else "has not been run"
    assert "Not shown:" in page
    assert why in page
    assert why in tables_markdown(results)


def test_a_beginning_is_a_page(tmp_path: Path) -> None:
    save(tmp_path, {"format_version": 1, "experiment": "upsampling", "preset": "smoke"})
    page = write_report(tmp_path).read_text()
    # One for each section, and one for the samples.
    assert page.count("Not shown:") == len(sections({})) + 1
    assert "Not answered" in page
    assert "<svg" not in page
    assert "Not shown" in tables_markdown({})


def test_what_is_gone_or_lies_outside_is_said_and_not_shown(
    tmp_path: Path, results: Results
) -> None:
    write_folder(tmp_path / "outside", results)
    folder = write_folder(tmp_path / "experiment", results)
    (folder / "spectra.npz").write_bytes(b"no array")
    (folder / "runs" / "nearest" / "log.jsonl").unlink()
    (folder / "sets" / "nearest" / "test" / "00000.png").write_bytes(b"no picture")
    results["sets"]["folders"]["bed_of_nails"] = "../outside/sets/bed_of_nails"
    results["generators"][2]["run"] = str(tmp_path / "outside" / "runs" / "pixel_shuffle")
    results["spectra"]["profiles"] = {}
    notes = gallery(results, folder, []).notes
    assert notes["samples"] == [
        f"{name}: there are no images to show." for name in ("nearest", "bed_of_nails")
    ]
    assert notes["spectra"] == ["The mean spectra cannot be drawn: their file cannot be read."]
    assert notes["training"] == [
        f"{name}: there is no log of its training." for name in ("nearest", "pixel_shuffle")
    ]


def test_what_the_monitors_warned_of_is_said(tmp_path: Path, results: Results) -> None:
    write_folder(tmp_path, results)
    del results["spectra"], results["learning"], results["sets"]
    with (tmp_path / "runs" / "nearest" / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": 220, "warnings": ["mode collapse"]}) + "\n")
    (note,) = gallery(results, tmp_path, []).notes["training"]
    assert note == "nearest: 1 of 21 lines of its log warn, last at step 220: mode collapse."


def named(name: str) -> Results:
    """An experiment in which `name` stands wherever a name may."""
    results = results_for((name, "nearest"), ("svm-rbf/both",))
    results["data"]["source"] = results["preset"] = name
    results["failed"] = {name: name}
    results["answers"][0] |= {"question": name, "sentence": name, "verdict": name}
    results["audit"][name] |= {"leaks": True, "reason": name, "columns": {name: 0.7}}
    results["detectors"][0]["chosen"] = {name: name}
    results["learned"]["about"]["distance"] = name
    return results


def test_every_name_is_text_and_nothing_else() -> None:
    hostile, harmless = (undrawn(named(name)) for name in (HOSTILE, HARMLESS))
    assert "<script" not in hostile
    assert "alert(1)" in hostile
    assert "\u202e" not in hostile
    assert re.findall(r"<(\w+)", hostile) == re.findall(r"<(\w+)", harmless)


@pytest.mark.filterwarnings("error")
def test_every_name_in_a_figure_is_text_and_nothing_else(tmp_path: Path, page: str) -> None:
    hostile = write_report(write_folder(tmp_path, named(HOSTILE))).read_text()
    assert "<script" not in hostile
    assert hostile.count("<svg") == page.count("<svg")
    assert set(re.findall(r"<(\w+)", hostile)) <= set(re.findall(r"<(\w+)", page))


def test_names_break_no_table_in_markdown(results: Results) -> None:
    harmless = tables_markdown(results)
    hostile = tables_markdown(results_for((HOSTILE, *PLAIN[1:])))
    for text in (harmless, hostile):
        widths: list[set[int]] = [set()]
        for line in text.splitlines():
            if line.startswith("|"):
                widths[-1].add(len(re.findall(r"(?<!\\)\|", line)))
            elif widths[-1]:
                widths.append(set())
        assert len(widths) > 30
        assert all(len(one) <= 1 for one in widths)
    assert not re.search(r"(?<!\\)<script", hostile)
    assert len(hostile.splitlines()) == len(harmless.splitlines())


def test_markdown_has_the_figures_of_the_results(results: Results) -> None:
    text = tables_markdown(results)
    found = [row["auc"] for rows in results["detection"].values() for row in rows.values()]
    found += [
        row["auc"]
        for detector in results["robustness"]["perturbed_trained"].values()
        for rows in detector.values()
        for row in rows.values()
    ]
    assert len(found) > 20
    for auc in found:
        assert "{:.3f} [{:.3f}, {:.3f}]".format(*auc) in text
    assert "| nearest | nearest | none | to the end | 0 | 200 | 3,120,000 | 83.3 min |" in text
    for answer in results["answers"]:
        assert f"## {answer['question']}\n\n{answer['sentence']}" in text
    results["detection"]["svm-rbf/both"]["nearest"]["auc"] = [0.123, 0.1, 0.2]
    assert "0.123 [0.100, 0.200]" not in text
    assert "0.123 [0.100, 0.200]" in tables_markdown(results)


def test_figures_get_names_that_are_safe_and_their_own() -> None:
    names = file_names(["a/../b", "a-..-b", "#", "W" * 300])
    assert len(set(names)) == 4
    assert all(re.fullmatch(r"[\w.-]{1,90}\.png", name) for name in names)
    assert not any(name.startswith(".") for name in names)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.unlink(),
        lambda path: path.write_text("{"),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text('{"experiment": "upsampling", "format_version": 2}'),
        lambda path: path.write_text('{"experiment": "other", "format_version": 1}'),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, change: Callable[[Path], object]) -> None:
    save(tmp_path, {"format_version": 1, "experiment": "upsampling"})
    change(tmp_path / "results.json")
    with pytest.raises(ValueError, match="gandetect experiment upsampling"):
        write_report(tmp_path)


def test_a_disk_that_refuses_is_an_error(tmp_path: Path) -> None:
    save(tmp_path, {"format_version": 1, "experiment": "upsampling", "preset": "smoke"})
    (tmp_path / FIGURES).write_text("no folder")
    with pytest.raises(StoreError, match="figures"):
        write_report(tmp_path)


def test_the_sheet_shows_images_of_the_set(folder: Path) -> None:
    sheet = np.asarray(Image.open(io.BytesIO((folder / FIGURES / "samples-real.png").read_bytes())))
    first = np.asarray(Image.open(folder / "sets" / "real" / "test" / "00000.png"))
    assert np.array_equal(sheet[:16, :16], first)


def test_a_change_of_a_number_changes_nothing_else(results: Results) -> None:
    before = copy.deepcopy(results)
    undrawn(results)
    tables_markdown(results)
    assert results == before


def test_what_the_figures_rest_on_is_said(results: Results) -> None:
    assert "**Mind:**" not in tables_markdown(results)
    results["options"]["seeds"] = 1
    results["audit"]["nearest"]["brightness"] = [0.7, 0.6, 0.8]
    results["learned"]["rows"]["bed_of_nails"]["coverage"] = 0.3
    minded = [one for one in tables_markdown(results).split("\n") if one.startswith("**Mind:**")]
    assert len(minded) == 3
    assert "trained once" in minded[0]
    assert "nearest" in minded[1]
    assert "bed" not in minded[1]
    assert "30%" in minded[2]
    results["preset"] = "smoke"
    assert tables_markdown(results).count("**Mind:**") == 1


def test_first_weights_that_are_not_random_are_said(results: Results) -> None:
    assert "they begin as interpolation" not in tables_markdown(results)
    results["generators"][0]["config"] = {"even_start": True}
    assert "they begin as interpolation" in tables_markdown(results)
