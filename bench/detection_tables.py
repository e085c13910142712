"""The tables of detectors, for `table.py`."""

from __future__ import annotations

import statistics
from typing import Any

from tables import ROOT, Figure, interval, load, rows_of

from gandetect.detect import load_shipped

EVALUATION = ROOT / "gandetect" / "models" / "upsampling-v2.evaluation.json"
EDITS = ROOT / "docs" / "edits.json"
ATTRIBUTION = ROOT / "docs" / "attribution.json"
FRESH = ROOT / "docs" / "fresh.json"
VIDEOS = ROOT / "docs" / "videos.json"
CLIPS = ROOT / "docs" / "clips.json"
SEEDS = ROOT / "docs" / "seeds.json"
TRANSFER = ROOT / "docs" / "transfer.json"
JPEG_TRANSFER = ROOT / "docs" / "jpeg-transfer.json"
PIXEL_CNN = ROOT / "docs" / "pixel-cnn.json"
SCORING = ROOT / "bench" / "results" / "scoring.json"
CLASSIFIERS = ROOT / "docs" / "classifiers.json"
SIMULATION = ROOT / "bench" / "results" / "simulation.json"
# Reals that carry no JPEG.
REDUCED = ("photographs reduced to 64 pixels", "the same, reduced first")


def detection() -> str:
    """Each generator in tiles of 128 pixels (faces: 64)."""
    report = load(EVALUATION)
    rows = []
    for split in ("test", "validation"):
        own = [row for row in report["rows"] if row["split"] == split]
        for name in dict.fromkeys(row["generator"] for row in own):
            region = max(row["region"] for row in own if row["generator"] == name)
            cells = {
                (row["reals"] in REDUCED, row["perturbation"]): row
                for row in own
                if (row["generator"], row["region"]) == (name, region)
            }
            reduced = [interval(cells[True, d]["auc"]) for d in ("none", "jpeg-90", "jpeg-75")]
            native, at = cells[False, "none"], cells[True, "none"]["at_threshold"]
            found = f"{at['generated_flagged'][0]:.0%}"
            rows.append([name, split, reduced[0], interval(native["auc"]), *reduced[1:], found])
    header = [
        "generator", "set", "AUC, lossless", "against JPEGs", "JPEG 90", "JPEG 75",
        "called generated",
    ]  # fmt: skip
    return rows_of(header, rows)


def robustness() -> str:
    """What perturbations do to photographs and to generated images."""
    rows = [
        [
            line["perturbation"],
            str(line["generators"]),
            f"{line['mean_auc']:.2f}",
            f"{line['worst_auc']:.2f} ({line['worst']})",
            f"{line['mean_real_flagged']:.0%}",
            f"{line['mean_generated_flagged']:.0%}",
        ]
        for line in load(EVALUATION)["robustness"]
    ]
    header = [
        "after", "generators", "mean AUC", "worst", "photographs called generated",
        "generated ones",
    ]  # fmt: skip
    return rows_of(header, rows)


def shipped() -> str:
    """What the shipped detector was to show, beside what it shows."""
    report = load(EVALUATION)
    columns = [
        over(report["rows"], splits, reduced)
        for reduced in (True, False)
        for splits in (("test",), ("test", "validation"))
    ]
    rows = [
        [what, aim, *(told.format(**one) for one in columns)]
        for what, aim, told in (
            ("AUC, lossless, mean", "0.97", "{none[auc]:.3f}"),
            ("AUC, lossless, worst", "0.90", "{none[worst]:.3f} ({none[who]})"),
            ("detected at 1 % false alarms of the set, mean", "0.70", "{none[tpr]:.2f}"),
            ("AUC after JPEG 90, mean", "0.93", "{jpeg90[auc]:.3f}"),
            ("AUC after JPEG 75, mean", "0.88", "{jpeg75[auc]:.3f}"),
            ("accuracy at even odds, lossless", "", "{none[accuracy]:.1%}"),
            ("after JPEG 90", "5 points less", "{jpeg90[accuracy]:.1%}"),
            ("after JPEG 75", "5 points less", "{jpeg75[accuracy]:.1%}"),
            ("called generated at the thresholds of `screen`", "", "{none[found]:.0%}"),
            ("photographs called so", "at most 5 %", "{none[false]:.1%}"),
            ("calibration error (ECE)", "0.03", "{none[ece]:.2f}"),
        )
    ]
    header = [
        "", "aim", "ten `test`", "all fourteen", "ten `test`, against JPEGs",
        "all, against JPEGs",
    ]  # fmt: skip
    return rows_of(header, rows)


def over(rows: list[dict[str, Any]], splits: tuple[str, ...], reduced: bool) -> dict[str, Any]:
    """By delivery: means and the worst over the generators of `splits`, each in its largest
    region."""
    own = [row for row in rows if row["split"] in splits and (row["reals"] in REDUCED) == reduced]
    largest = {row["generator"]: 0 for row in own}
    for row in own:
        largest[row["generator"]] = max(largest[row["generator"]], row["region"])
    found = {}
    for delivery in ("none", "jpeg-90", "jpeg-75"):
        cells = [
            row
            for row in own
            if row["region"] == largest[row["generator"]] and row["perturbation"] == delivery
        ]
        worst = min(cells, key=lambda row: row["auc"][0])
        at = [row["at_threshold"] for row in cells]
        found[delivery.replace("-", "")] = {
            "auc": statistics.fmean(row["auc"][0] for row in cells),
            "worst": worst["auc"][0],
            "who": worst["generator"],
            "tpr": statistics.fmean(row["tpr_at_0.01"][0] for row in cells),
            "accuracy": statistics.fmean(row["balanced_accuracy"][0] for row in cells),
            "ece": statistics.fmean(row["calibration_error"] for row in cells),
            "found": statistics.fmean(one["generated_flagged"][0] for one in at),
            "false": statistics.fmean(one["real_flagged"][0] for one in at),
        }
    return found


def certificate() -> str:
    """Whether stated rates hold on photographs, and probabilities on self-made pairs."""
    report = load(EVALUATION)
    found, chance = report["certificate"], report["calibration"]
    ways = (("packages", "by_package"), ("photographs", "by_photograph"))
    rows = [
        [
            f"false alarms at a certified 5 %, {thresholds}, half of the {parts} by the other",
            "more than 5 % in one of twenty halvings",
            f"more in {found[prefix + key]['share_above']:.1%} of {found[prefix + key]['splits']:,}"
            f"; {found[prefix + key]['mean_flagged']:.1%} on average",
        ]
        for thresholds, prefix in (
            ("one threshold", ""),
            ("thresholds of the classes, as `screen` has them", "classes_"),
        )
        for parts, key in ways
    ]
    rows += [
        [
            f"the same at {row['fpr']:.0%} on average (`--conformal`), {row['parts']}",
            f"{row['fpr']:.0%}",
            f"{row['mean_flagged']:.1%}",
        ]
        for row in found["on_average"]
    ]
    low, high = chance["by_chance"][1:]
    rows.append(
        [
            "calibration error of the probability (ECE, 15 bins), half of the photographs by the "
            "scores of the other",
            "0.03",
            f"{chance['calibration_error']:.3f}; exactly right ones would show "
            f"{chance['by_chance'][0]:.3f} [{low:.3f}, {high:.3f}] by chance",
        ]
    )
    return rows_of(["", "aim", "found"], rows)


def large() -> str:
    """Larger tiles, on up-scalers' images of 512 pixels."""
    measured = load(EVALUATION).get("large")
    if measured is None:
        return ""
    rows = [
        [
            f"{line['region']}",
            line["delivery"],
            f"{line['generators']}",
            f"{line['mean_auc']:.3f}",
            f"{line['worst_auc']:.3f} ({line['worst']})",
            f"{line['mean_tpr_at_0.01']:.2f}",
            f"{line['mean_real_flagged']:.1%}",
            f"{line['mean_generated_flagged']:.0%}",
        ]
        for line in measured["all"]
        if line["reals"] == "reduced first"
    ]
    header = [
        "side of the squares", "delivery", "generators", "mean AUC", "worst",
        "detected at 1 % of the set", "photographs called generated", "generated ones",
    ]  # fmt: skip
    return rows_of(header, rows)


def edits() -> str:
    """What the mask and the warp network find in edits of photographs of other packages."""
    report = load(EDITS)
    header = ["edit", "images", "AUC, IoU, F1 and AUC of pixels, all", "lossless", "JPEG 50 to 98"]
    rows = [*mask_rows(report["mask"]["found"]), warp_row(report["warp"]["found"])]
    return f"{rows_of(header, rows)}\n\n{edits_notes(report)}"


def mask_rows(found: dict[str, Any]) -> list[list[str]]:
    rows = []
    for kind, of_all in found["all"]["by_kind"].items():
        cells = [part["by_kind"][kind] for part in found.values()]
        told = (
            [f"{one['marked']:.1%} of the pixels marked" for one in cells]
            if kind == "photograph"
            else [mask_words(one) for one in cells]
        )
        rows.append([kind, f"{of_all['images']}", *told])
    images = sum(one["images"] for one in found["all"]["by_kind"].values())
    return [*rows, ["**any edit**", f"{images}", *(interval(p["auc"]) for p in found.values())]]


def mask_words(one: dict[str, Any]) -> str:
    words = [interval(one["auc"]), f"IoU {one['iou']:.2f}", f"F1 {one['f1']:.2f}"]
    of_pixels = one["pixel_auc"]
    return ", ".join(words if of_pixels is None else [*words, f"pixels {of_pixels:.2f}"])


def warp_row(found: dict[str, Any]) -> list[str]:
    images = sum(one["images"] for one in found["all"]["by_kind"].values())
    told = (interval(part["by_kind"]["warped"]["auc"]) for part in found.values())
    return ["**any warp**", f"{images}", *told]


def edits_notes(report: dict[str, Any]) -> str:
    mask, warp = report["mask"], report["warp"]
    flow = warp["found"]["all"]["by_kind"]["warped"]
    informed = ", ".join(
        f"{'lossless' if one['quality'] is None else 'JPEG ' + str(one['quality'])} "
        f"{interval(one['auc'])}"
        for one in warp["informed"]
    )
    steps = " and ".join(f"{report[kind]['steps']['count']:,}" for kind in ("mask", "warp"))
    minutes = " and ".join(f"{report[kind]['seconds'] / 60:.0f}" for kind in ("mask", "warp"))
    errors = [flow[name] for name in ("end_point_error", "end_point_error_of_no_flow")]
    return (
        f"Edits of {mask['fresh_photographs']} photographs of other packages than the "
        f"{mask['photographs']} that were learned from; {steps} steps, {minutes} minutes of one "
        f"core. Mean end-point error of the flow of warped images {errors[0]:.2f} pixels, of no "
        f"flow {errors[1]:.2f}. The test that is told the displacement: AUC "
        f"{informed}. [Every figure](edits.json)."
    )


def videos() -> str:
    """Verdicts on real recordings, as they are and encoded again."""
    report = load(VIDEOS)
    rows = [
        [
            name,
            f"{found['videos']} of {found['sources']}",
            f"{found['sources_called_generated']}",
            "{:.0%} to {:.0%}".format(*found["interval"]),
            ", ".join(f"{count} {word}" for word, count in sorted(found["verdicts"].items())),
        ]
        for name, found in report["sets"].items()
    ]
    header = ["recordings", "videos of sources", "sources called generated", "95 %", "verdicts"]
    return rows_of(header, rows)


def jpeg_transfer() -> str:
    """Accuracy at even odds of what was trained on PNG files, on PNG and JPEG files."""
    report = load(JPEG_TRANSFER)
    rows = [
        [
            name,
            *(f"{found[delivery]:.1%}" for delivery in ("none", "jpeg-90", "jpeg-75")),
            f"{100 * (found['none'] - found['jpeg-90']):.1f}",
            f"{100 * (found['none'] - found['jpeg-75']):.1f}",
        ]
        for name, found in report["mean"].items()
    ]
    header = ["classifier", "PNG", "JPEG 90", "JPEG 75", "points lost at 90", "at 75"]
    return f"{rows_of(header, rows)}\n\nMeans over {len(report['sets'])} generators of others."


def pixel_cnn() -> str:
    """The plain network on pixels on a pair that its own audit passes."""
    report = load(PIXEL_CNN)
    rows = [
        ["balanced accuracy", f"{report['balanced_accuracy']:.1%}"],
        ["AUC", interval(report["auc"])],
        *(
            [f"{name} recognized", "{:.1%} [{:.1%}, {:.1%}]".format(*rate)]
            for name, rate in report["accuracy"].items()
        ),
        ["leak audit: AUC of metadata alone", interval(report["audit"]["auc"])],
        ["of brightness alone", interval(report["audit"]["brightness"])],
    ]
    return (
        f"{rows_of(['', 'found'], rows)}\n\n{report['pairs']} images of a "
        f"{report['generator']['model']} of {report['generator']['steps']:,} steps and as many "
        f"squares of {report['photographs']} photographs, cross-fitted by source."
    )


def scoring() -> str:
    """The share of the throughput of features alone that is left with scores and looks."""
    report = load(SCORING)
    rows = [
        [
            case["case"],
            f"{case['results']['screened']['median_us']:,.0f}",
            f"{case['looked_into']:.0%}",
            f"{case['throughput_kept']:.0%}",
        ]
        for case in report["cases"]
    ]
    header = [
        "256 x 256 files",
        "µs per file",
        "looked into",
        "of the throughput of features alone",
    ]
    return f"{rows_of(header, rows)}\n\n{report['machine']['cpu']}, one thread, decoding included."


def simulation() -> str:
    """What an image of a self-made pair costs, beside what reading a photograph does."""
    report = load(SIMULATION)
    results, sizes = report["results"], report["megapixels"]
    ways = list(dict.fromkeys(name.split(",")[0] for name in results))
    rows = [
        [
            f"{way}, ms per image",
            *(
                f"{results[f'{way}, {kind}']['median_us'] / 1000:,.1f}"
                if f"{way}, {kind}" in results
                else ""
                for kind in sizes
            ),
        ]
        for way in ways
    ]
    for said, ratios in (
        ("**random layers / reading**", report["layers_over_reading"]),
        ("**fit from simulation / from files**", report["fit_over_fit_from_files"]),
    ):
        rows.append([said, *(f"**{ratios[kind]:.2f}**" for kind in sizes)])
    shared = results.get("random layers, web, two processes")
    by_two = (
        f" By two processes {shared['median_us'] / 1000:.1f} ms for random layers of the web's."
        if shared
        else ""
    )
    header = ["photographs", *sizes]
    rows.append(
        [
            "megapixels of a photograph, mean (median)",
            *(
                f"{statistics.mean(own):.1f} ({statistics.median(own):.1f})"
                for own in sizes.values()
            ),
        ]
    )
    return (
        f"{rows_of(header, rows)}\n\n{report['machine']['cpu']}, {report['machine']['cores']} "
        f"cores, one thread; {report['pairs_of_a_photograph']} pairs of each photograph: "
        f"{', '.join(f'{len(own)} {kind}' for kind, own in sizes.items())}.{by_two}"
    )


def seeds() -> str:
    """How far the detector's figures depend on the seed of its simulation."""
    report = load(SEEDS)
    rows = [
        [
            f"{which}, {key.replace('none', 'lossless')}",
            f"{own['mean']:.3f}",
            f"{own['deviation']:.3f}",
            f"{own['least']:.3f}",
            f"{own['most']:.3f}",
        ]
        for which, found in report["summary"].items()
        for key, own in found.items()
    ]
    header = ["AUC", "mean of the seeds", "standard deviation", "least", "most"]
    numbers = ", ".join(report["seeds"])
    return f"{rows_of(header, rows)}\n\nSeeds {numbers}; the first is the one that ships."


def transfer() -> str:
    """What classifiers know of up-scalers that they were not shown."""
    report = load(TRANSFER)
    rows = [
        [
            f"`{name}`",
            f"{found['diagonal']:.3f}",
            f"{found['off_diagonal']:.3f}",
            f"{found['mean_left_out']:.3f}",
            f"{found['worst_left_out']:.3f}",
        ]
        for name, found in report["classifiers"].items()
    ]
    header = ["classifier", "trained on it", "on one other", "on all others", "worst of these"]
    generators = len(report["images"]) - 1
    return (
        f"{rows_of(header, rows)}\n\nMean AUC over {generators} up-scalers of others, lossless, "
        f"tiles of {report['tile']} pixels, {report['images']['real']} real images and as many of "
        f"each at most; `docs/transfer.json` has every cell with its interval."
    )


def classifiers() -> str:
    """What each classifier sees of up-scalers of others after a fit to self-made fakes."""
    report = load(CLASSIFIERS)
    rows = []
    for name, found in report["classifiers"].items():
        generators = found["generators"]
        worst = min(generators, key=lambda one: generators[one]["none"])
        rows.append(
            [
                f"`{name}`",
                f"{found['auc_on_held_out_pairs'][0]:.3f}",
                *(f"{found['all'][f'mean {how}']:.3f}" for how in ("none", "jpeg-90", "jpeg-75")),
                f"{found['all']['worst none']:.3f} ({worst.removesuffix('_reduced')})",
                f"{found['all']['worst jpeg-75']:.3f}",
            ]
        )
    header = [
        "classifier", "self-made pairs of held-out photographs", "mean, lossless",
        "mean, JPEG 90", "mean, JPEG 75", "worst, lossless", "worst, JPEG 75",
    ]  # fmt: skip
    generators = len(next(iter(report["classifiers"].values()))["generators"])
    return (
        f"{rows_of(header, rows)}\n\nAUC over {generators} up-scalers of others against "
        f"photographs that were reduced first, tiles of {report['tile']} pixels; "
        f"{report['pairs_of_a_photograph']} pairs of each photograph, one seed."
    )


def learning() -> str:
    """How many images of an up-scaler the classifier that ships needs."""
    curves = load(TRANSFER)["learning_curves"]
    sizes = sorted({int(size) for one in curves.values() for size in one["points"]})
    rows = [
        [name.removesuffix("_reduced"), *(interval(one["points"][str(size)]) for size in sizes)]
        for name, one in curves.items()
    ]
    return rows_of(["AUC after so many training images", *map(str, sizes)], rows)


def clips() -> str:
    """How clips of generated pictures are ranked and called."""
    report = load(CLIPS)
    rates = list(next(iter(report["sets"].values())))
    rows = []
    for name, found in report["sets"].items():
        called = [found[rate]["verdicts"]["generated"].get("generated", 0) for rate in rates]
        alarms = sum(found[rate]["verdicts"]["real"].get("generated", 0) for rate in rates)
        rows.append(
            [
                name.removesuffix("_reduced"),
                str(found[rates[0]]["clips"]),
                *(interval(found[rate]["auc"]) for rate in rates),
                f"{sum(called)} of {len(rates) * found[rates[0]]['clips']}",
                str(alarms),
            ]
        )
    header = [
        "generator", "clips", *(f"AUC, {rate.upper().replace('-', ' ')}" for rate in rates),
        "called generated", "photographs' clips called so",
    ]  # fmt: skip
    return rows_of(header, rows)


def names() -> str:
    """Which up-samplers real generators are named after, of `explain` and the references."""
    rows, right, named, images = [], 0, 0, 0
    for name, found in load(EVALUATION)["names"].items():
        counts = dict(found["named"])
        unknown = counts.pop("unknown", 0)
        rightly = counts.pop(found["family"], 0)
        wrongly = ", ".join(f"{count} {other}" for other, count in counts.items())
        rows.append([name, found["family"], f"{rightly}", wrongly, f"{unknown}"])
        named += rightly + sum(counts.values())
        right += rightly
        images += rightly + sum(counts.values()) + unknown
    header = ["generator", "up-sampler", "named rightly", "named otherwise", "unknown"]
    return (
        f"{rows_of(header, rows)}\n\n{images:,} lossless images, of which {named:,} got a name, "
        f"{right:,} of these rightly."
    )


def attribution() -> str:
    """How often the family of up-samplers is named rightly, for networks that were not seen."""
    report = load(ATTRIBUTION)
    rows = [
        [
            f"{which}, {size}",
            interval(found["balanced_accuracy_of_six"], 3),
            interval(found["balanced_accuracy_with_real"], 3),
            f"{found['known_called_unknown']:.1%}",
        ]
        for which, said in (("families", "families"), ("single networks", "networks"))
        for size, found in report[said].items()
        if size.endswith("pixels")
    ]
    header = ["test images", "balanced accuracy of the six", "with real", "known called unknown"]
    sizes = report["families"]
    audits = [one for said in ("families", "networks") for one in report[said]["audits"].values()]
    leaks = sum(one["leaks"] for one in audits)
    return (
        f"{rows_of(header, rows)}\n\nFitted to {sizes['fit_images']:,} images of 128 pixels by "
        f"{len(report['fit_seeds'])} networks of each family, on {report['photographs']['fit']} "
        f"photographs; tested on those of {len(report['test_seeds'])} others on "
        f"{report['photographs']['test']} other photographs. Leak audits of the images fitted to, "
        f"each class against all others: {len(audits) - leaks} passed, {leaks} failed."
    )


def confusion() -> str:
    """Which family is taken for which, at the larger size."""
    report = load(ATTRIBUTION)["families"]["256 pixels"]["confusion"]
    rows = [
        [made.replace("_", " "), *(str(named[column] or "") for column in report)]
        for made, named in report.items()
    ]
    return rows_of(["made by", *(name.replace("_", " ") for name in report)], rows)


def unknown() -> str:
    """Whether a family that the fit was not shown is called unknown."""
    sizes = {
        size: found
        for size, found in load(ATTRIBUTION)["families"].items()
        if size.endswith("pixels")
    }
    rows = []
    for key, said in (
        ("kin_left_out", "no relative known"),
        ("left_out", "one family alone"),
    ):
        for group in next(iter(sizes.values()))[key]:
            cells = [interval(found[key][group]["auc"], 3) for found in sizes.values()]
            rows.append([f"{group.replace('_', ' ')}, {said}", *cells])
        means = [f"**{found[f'{key}_mean_auc']:.3f}**" for found in sizes.values()]
        rows.append([f"**mean, {said}**", *means])
    return rows_of(["left out of the fit", *sizes], rows)


def fresh() -> str:
    """False alarms on photographs that nothing was fitted to."""
    report = load(FRESH)
    rows = [
        [
            name,
            f"{one['fpr']:.0%} {'certified' if one['confidence'] else 'on average'}",
            f"{one['verdicts'].get('generated', 0)} of {one['photographs']}",
            f"{one['groups_called_generated']} of {one['groups']}",
            f"{one['of_the_largest_package']}",
            "{:.1%} to {:.1%}".format(*one["interval"]),
            f"{one['most_by_chance']}",
        ]
        for name, found in report["deliveries"].items()
        for one in found
    ]
    header = [
        "delivery", "stated", "photographs called generated", "groups called so",
        f"of these of {report['largest_package']['name']}", "95 %",
        "most by chance at the stated rate",
    ]  # fmt: skip
    return (
        f"{rows_of(header, rows)}\n\n{report['photographs']} photographs in {report['groups']} "
        f"groups of {report['packages']} packages, {report['largest_package']['groups']} of them "
        f"of {report['largest_package']['name']}."
    )


def aims() -> str:
    """What was to be shown besides the detector's own figures, and where the figures are."""
    found = [*rate_aims(), *attribution_aims(), *edit_aims(), *cnn_aims(), audit_aim()]
    rows = [[what, aim, value, f"[here]({place})"] for what, aim, value, place in found]
    return rows_of(["", "aim", "found", "more"], rows)


Aim = tuple[str, str, str, str]


def rate_aims() -> list[Aim]:
    """Whether stated rates of false alarms hold."""
    certified = [one for one in load(FRESH)["deliveries"]["as they are"] if one["confidence"]]
    alarms = [
        (
            f"false alarms at a certified {one['fpr']:.0%}, fresh photographs",
            f"at most {one['most_by_chance']} of {one['groups']} groups",
            f"{one['groups_called_generated']}",
            "#what-it-was-to-show-and-what-it-shows",
        )
        for one in certified
    ]
    videos = load(VIDEOS)["sets"]["as they are"]
    of_videos = f"{videos['sources_called_generated']} of {videos['sources']} sources"
    return [*alarms, ("false alarms at 5 %, real video", "5 %", of_videos, "#real-video")]


def attribution_aims() -> list[Aim]:
    report = load(ATTRIBUTION)["families"]["128 pixels"]
    place = "attribution.md#how-good-the-names-are"
    return [
        (
            "six families of up-samplers named, networks not seen, balanced",
            "90 %",
            f"{report['balanced_accuracy_of_six'][0]:.1%}",
            place,
        ),
        (
            "AUC of unknown families, no relative known; one family alone",
            "0.90",
            f"{report['kin_left_out_mean_auc']:.2f}; {report['left_out_mean_auc']:.2f}",
            place,
        ),
    ]


def edit_aims() -> list[Aim]:
    report = load(EDITS)
    kinds = report["mask"]["found"]["all"]["by_kind"]
    ious = [one["iou"] for one in kinds.values() if "iou" in one]
    mask = (
        f"{interval(report['mask']['found']['all']['auc'])}, IoU {min(ious):.2f} to {max(ious):.2f}"
    )
    return [
        ("AUC of edited pictures, `mask`", "0.95", mask, "edits.md#what-they-find"),
        (
            "AUC of warped pictures, `warp`",
            "0.95",
            interval(report["warp"]["found"]["all"]["auc"]),
            "edits.md#what-they-find",
        ),
    ]


def cnn_aims() -> list[Aim]:
    accuracy = load(PIXEL_CNN)["balanced_accuracy"]
    place = "reproducing.md#the-plain-network-on-pixels"
    return [("plain network on pixels, a pair without leaks", "91 %", f"{accuracy:.1%}", place)]


def audit_aim() -> Aim:
    """Every training and test set of these pages that has an audit of its own."""
    attributed = load(ATTRIBUTION)
    audits = [
        *(row["audit"] for row in load(EVALUATION)["data"]),
        *(load(EDITS)[kind]["audit"] for kind in ("mask", "warp")),
        *(one for said in ("families", "networks") for one in attributed[said]["audits"].values()),
        load(PIXEL_CNN)["audit"],
        load_shipped().card["training"]["audit"],
    ]
    passed = sum(not one["leaks"] for one in audits)
    return (
        "leak audits of sets that are trained or measured on",
        "all pass",
        f"{passed} of {len(audits)} pass",
        "evaluating.md#the-protocol",
    )


def alarms() -> str:
    """The false alarms on fresh photographs as they are, in a sentence."""
    report = load(FRESH)
    certified = [one for one in report["deliveries"]["as they are"] if one["confidence"]]
    told = " and ".join(
        f"{one['groups_called_generated']} at a certified {one['fpr']:.0%}" for one in certified
    )
    return (
        f"Of {report['groups']} groups of photographs, of {report['packages']} packages that "
        f"nothing was fitted to, {told} raise a false alarm ([more](docs/detector.md))."
    )


FIGURES: dict[str, Figure] = {
    "detection": (detection, EVALUATION, "README.md"),
    "robustness": (robustness, EVALUATION, "README.md"),
    "scoring": (scoring, SCORING, "README.md"),
    "classifiers": (classifiers, CLASSIFIERS, "docs/detector.md"),
    "simulation": (simulation, SIMULATION, "docs/simulating.md"),
    "shipped": (shipped, EVALUATION, "docs/detector.md"),
    "certificate": (certificate, EVALUATION, "docs/detector.md"),
    "large": (large, EVALUATION, "docs/detector.md"),
    "videos": (videos, VIDEOS, "docs/detector.md"),
    "clips": (clips, CLIPS, "docs/detector.md"),
    "seeds": (seeds, SEEDS, "docs/detector.md"),
    "transfer": (transfer, TRANSFER, "docs/detector.md"),
    "learning": (learning, TRANSFER, "docs/detector.md"),
    "jpeg-transfer": (jpeg_transfer, JPEG_TRANSFER, "docs/detector.md"),
    "pixel-cnn": (pixel_cnn, PIXEL_CNN, "docs/reproducing.md"),
    "edits": (edits, EDITS, "docs/edits.md"),
    "names": (names, EVALUATION, "docs/explaining.md"),
    "attribution": (attribution, ATTRIBUTION, "docs/attribution.md"),
    "confusion": (confusion, ATTRIBUTION, "docs/attribution.md"),
    "unknown": (unknown, ATTRIBUTION, "docs/attribution.md"),
    "alarms": (alarms, FRESH, "README.md"),
    "aims": (aims, FRESH, "docs/detector.md"),
    "fresh": (fresh, FRESH, "docs/detector.md"),
}
