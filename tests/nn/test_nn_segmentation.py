"""Losses of segmentations: borders between cells weigh more, and rare labels as much as others."""

import math

import pytest
import torch
from torch.nn import functional as F

from gandetect.nn.segmentation import (
    balancing_weights,
    border_weights,
    distances_to,
    mask_losses,
    weighted_cross_entropy,
)


def test_distances_are_those_to_the_nearest_pixel():
    there = torch.rand(9, 13, generator=torch.Generator().manual_seed(2)) < 0.1
    where = there.nonzero().float()
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(13.0), indexing="ij")
    wanted = torch.cdist(torch.stack((y, x), dim=-1).view(-1, 2), where).amin(dim=1).view(9, 13)
    torch.testing.assert_close(distances_to(there), wanted)
    assert distances_to(torch.zeros(3, 4, dtype=torch.bool)).isinf().all()


def test_borders_weigh_by_the_distances_to_the_two_nearest_cells():
    cells = torch.zeros(1, 5, 12, dtype=torch.int64)
    cells[0, :, :3], cells[0, :, 6:8], cells[0, :, 11:] = 7, 2, 4
    found = border_weights(cells, weight=10.0, spread=2.0)[0]
    # Column 3 is 1 from the first cell and 3 from the second, column 10 1 from the third and 3
    # from the second.
    for column, both in ((3, 1 + 3), (4, 2 + 2), (8, 1 + 3), (10, 1 + 3)):
        wanted = torch.full((5,), 10 * math.exp(-(both**2) / 8))
        torch.testing.assert_close(found[:, column], wanted)
    assert found[cells[0] > 0].eq(0).all()


def test_narrow_gaps_weigh_more_than_wide_ones():
    cells = torch.zeros(2, 3, 12, dtype=torch.int64)
    cells[:, :, :2] = 1
    cells[0, :, 4:6] = 2
    cells[1, :, 8:10] = 2
    narrow, wide = border_weights(cells)
    assert narrow.max() > wide.max() > 0


@pytest.mark.parametrize("cells", [torch.zeros(1, 4, 4), torch.eye(4)[None]])
def test_without_two_cells_there_is_no_border(cells):
    assert torch.equal(border_weights(cells.long()), torch.zeros(1, 4, 4))


def test_balanced_labels_count_the_same():
    labels = torch.zeros(2, 6, 6, dtype=torch.int64)
    labels[0, 0, :3] = 5
    weights = balancing_weights(labels)
    assert weights.mean().item() == pytest.approx(1)
    sums = [weights[labels == label].sum().item() for label in (0, 5)]
    assert sums == pytest.approx([36, 36])


def test_cross_entropies_are_weighted_pixel_by_pixel():
    logits, labels = torch.randn(2, 3, 4, 4), torch.randint(3, (2, 4, 4))
    weights = torch.rand(2, 4, 4)
    found = weighted_cross_entropy(logits, labels.to(torch.uint8), weights)
    chances = logits.softmax(dim=1).gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(found, -(weights * chances.log()).mean())
    plain = weighted_cross_entropy(logits, labels, torch.ones(2, 4, 4))
    torch.testing.assert_close(plain, F.cross_entropy(logits, labels))


def test_mask_losses_are_a_cross_entropy_and_a_dice_loss():
    logits, masks = torch.randn(3, 8, 8), torch.rand(3, 8, 8) < 0.5
    chances, wanted = logits.sigmoid().double(), masks.double()
    entropy = -(wanted * chances.log() + (1 - wanted) * (1 - chances).log()).mean(dim=(1, 2))
    overlap = 2 * (chances * wanted).mean(dim=(1, 2)) + 0.1
    sizes = chances.mean(dim=(1, 2)) + wanted.mean(dim=(1, 2)) + 0.1
    torch.testing.assert_close(mask_losses(logits, masks).double(), entropy + 1 - overlap / sizes)
