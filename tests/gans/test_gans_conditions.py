"""Conditions of generated images: in turn, the same for every shard, told in listings and files."""

import json

import pytest
import torch
from trained_runs import conditional_run, tiny_run

from gandetect.gans import load_model
from gandetect.gans.conditions import Conditions, conditions_of
from gandetect.gans.generation import LISTING, generate, read_facts


def counts():
    return torch.tensor([[2, 0], [0, 1], [3, 3]])


def test_rows_are_taken_in_turn_wherever_one_begins():
    found = Conditions({"counts": counts()})
    assert found.of(range(4, 8))["counts"].tolist() == [[0, 1], [3, 3], [2, 0], [0, 1]]
    assert found.facts(5) == {"counts": [3, 3]}
    assert found.told() == {"counts": counts().tolist()}


def test_long_rows_are_told_by_number_and_digest():
    maps = torch.arange(2 * 64).view(2, 8, 8)
    found = Conditions({"maps": maps, "labels": torch.tensor([1, 0])})
    assert found.facts(3) == {"maps": 1, "label": 0}
    told = found.told()
    assert told["labels"] == [1, 0]
    assert len(told["maps"]) == 64
    assert Conditions({"maps": maps + 1}).told()["maps"] != told["maps"]
    assert Conditions({"maps": maps.view(2, 4, 16)}).told()["maps"] != told["maps"]


@pytest.mark.parametrize("rows", [torch.tensor(3), torch.zeros(0, 2)])
def test_conditions_without_rows_are_refused(rows):
    with pytest.raises(ValueError, match="counts of shape"):
        Conditions({"counts": rows})


def test_classes_are_joined_with_other_conditions(tmp_path):
    model = load_model(conditional_run(tmp_path))
    assert conditions_of(model, None, {"counts": counts()}).rows.keys() == {"counts", "labels"}
    with pytest.raises(ValueError, match="0 to 2"):
        conditions_of(model, [3])


def test_listing_and_files_say_what_was_asked(tmp_path):
    run = conditional_run(tmp_path / "run")
    generate(run, tmp_path / "out", 3, labels=[2, 1])
    listing = json.loads((tmp_path / "out" / LISTING).read_text())
    assert listing["conditions"] == {"labels": [2, 1]}
    labels = [read_facts(path)["label"] for path in sorted((tmp_path / "out").glob("*.png"))]
    assert labels == [2, 1, 2]
    with pytest.raises(ValueError, match="another conditions"):
        generate(run, tmp_path / "out", 3, labels=[1, 2])


def test_a_model_without_conditions_refuses_them(tmp_path):
    run = tiny_run(tmp_path / "run")
    with pytest.raises(ValueError, match="no conditions"):
        generate(run, tmp_path / "out", 3, conditions={"counts": counts()})
