"""The Row LSTM; what PixelRNN shares with PixelCNN is tested in `test_gans_pixelcnn.py`."""

import pytest
import torch
from torch import nn

from gandetect.gans import preset
from gandetect.gans.pixelrnn import PixelRNN, RowLSTM


def test_one_column_is_an_lstm():
    """Of torch, with the kernels' middles as its matrices."""
    layer = RowLSTM(5, colors=1)
    theirs = nn.LSTM(10, 5, batch_first=True)
    # Units first and then gates here, output, forget, input, content; torch has gates first, in
    # another order.
    order = torch.arange(20).view(5, 4).T[[2, 1, 3, 0]].flatten()
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(layer.enter.weight[order, :, 0, 1])
        theirs.weight_hh_l0.copy_(layer.recur.weight[order, :, 1])
        theirs.bias_ih_l0.copy_(layer.enter.bias[order])
        theirs.bias_hh_l0.zero_()
    x = torch.randn(3, 10, 7, 1)
    states, _ = theirs(x[..., 0].transpose(1, 2))
    wanted = x + layer.leave(states.transpose(1, 2)[..., None])
    torch.testing.assert_close(layer(x), wanted, atol=1e-5, rtol=1e-5)


def test_a_place_sees_a_triangle_above_itself():
    layer = RowLSTM(6, colors=1).double()
    x = torch.randn(4, 12, 6, 7, dtype=torch.float64, requires_grad=True)
    y = layer(x) - x
    (slope,) = torch.autograd.grad(y[:, :, 4, 3].sum(), x)
    wanted = torch.zeros(6, 7, dtype=torch.bool)
    # A row's own convolution looks one to the left, on top of what the states bring.
    for above in range(5):
        wanted[4 - above, max(2 - above, 0) : 3 + above + 1] = True
    assert torch.equal(slope.abs().amax(dim=(0, 1)) > 0, wanted)


@pytest.mark.parametrize("rows", [1, 4])
def test_rows_below_change_nothing(rows):
    model = PixelRNN(preset("pixelrnn", "smoke")).eval()
    images = torch.randn(1, 3, 32, 32)
    others = images.clone()
    others[:, :, rows:] = torch.randn_like(others[:, :, rows:])
    found, same = (model.logits(one)[:, :, :, :rows] for one in (images, others))
    torch.testing.assert_close(found, same)
