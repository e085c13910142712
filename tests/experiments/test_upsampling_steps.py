"""Steps are made once, and again where their inputs changed or their file was damaged."""

from __future__ import annotations

import json

import pytest
import torch

from gandetect.experiments.upsampling.steps import Steps


class Counting:
    """Counts how often a step was made."""

    def __init__(self, result):
        self.result, self.made = result, 0

    def __call__(self):
        self.made += 1
        return self.result


@pytest.mark.parametrize(
    ("take", "result"), [("document", {"a": 1}), ("tensors", {"a": torch.ones(2)})]
)
def test_a_step_is_made_once_for_the_same_inputs(tmp_path, take, result):
    compute = Counting(result)
    for _ in range(3):
        getattr(Steps(tmp_path), take)("part/one", ["x", 1], compute)
    assert compute.made == 1
    getattr(Steps(tmp_path), take)("part/one", ["x", 2], compute)
    assert compute.made == 2


@pytest.mark.parametrize(
    ("take", "result", "suffix"),
    [("document", {"a": 1}, ".json"), ("tensors", {"a": torch.ones(2)}, ".safetensors")],
)
def test_a_damaged_file_is_made_again(tmp_path, take, result, suffix):
    compute = Counting(result)
    getattr(Steps(tmp_path), take)("one", [], compute)
    path = tmp_path / f"one{suffix}"
    path.write_bytes(path.read_bytes()[:-9])
    getattr(Steps(tmp_path), take)("one", [], compute)
    assert compute.made == 2


def test_a_made_document_is_what_a_read_one_is(tmp_path):
    result = {"pair": (1, 2.5)}
    made = Steps(tmp_path).document("one", [], lambda: result)
    assert made == Steps(tmp_path).document("one", [], lambda: None) == {"pair": [1, 2.5]}


def test_made_tensors_are_what_read_ones_are(tmp_path):
    result = {"none/test/real": torch.randn(3, dtype=torch.float64).flip(0)}
    made = Steps(tmp_path).tensors("one", [], lambda: result)
    read = Steps(tmp_path).tensors("one", [], dict)
    assert torch.equal(made["none/test/real"], read["none/test/real"])


def test_the_digest_follows_the_result_and_not_the_time(tmp_path):
    first, second, other = (Steps(tmp_path / name) for name in "abc")
    first.document("one", ["x"], lambda: 1)
    second.document("one", ["x"], lambda: 1)
    other.document("one", ["x"], lambda: 2)
    assert first.digest("one") == second.digest("one") != other.digest("one")
    path = tmp_path / "a" / "one.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "seconds": 99.0}))
    again = Steps(tmp_path / "a")
    again.document("one", ["x"], lambda: None)
    assert again.digest("one") == first.digest("one")
    assert again.seconds == {"one": 99.0}


def test_a_number_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError):
        Steps(tmp_path).document("one", [], lambda: {"auc": float("nan")})
    assert not list(tmp_path.rglob("*.json"))
