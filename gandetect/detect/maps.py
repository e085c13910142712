"""What a model of the kind `mask` or `warp` says of each pixel, besides the verdict on it all."""

from __future__ import annotations

from torch import Tensor

from gandetect.detect import scorers
from gandetect.detect.contributions import network_of, parts_of
from gandetect.detect.model import Model
from gandetect.detect.networks import MaskNetwork, Network, WarpNetwork


def maps(model: Model, tiles: Tensor) -> Tensor:
    """The maps of luma `tiles` (N, S, S) in 0..255; of the tiles' size, floating.

    Of a mask model, how probable it finds each pixel to be forged, (N, S, S) in 0..1, not
    calibrated. Of a warp model, the flow (N, 2, S, S) in pixels that `warps.undo` takes. Raises
    ValueError for other models, and for tiles of another shape or of sides that the network cannot
    halve.
    """
    if tiles.ndim != 3:
        raise ValueError(f"tiles of shape {tuple(tiles.shape)} given; want (N, S, S)")
    network = _network(model)
    if network is None:
        raise ValueError(
            f"{model.name} ({model.classifier}) has no map of pixels; fit a model with "
            "gandetect fit --classifier mask or warp"
        )
    return network_maps(network, tiles)


def has_maps(model: Model) -> bool:
    """Whether `maps` takes `model`."""
    return _network(model) is not None


def _network(model: Model) -> MaskNetwork | WarpNetwork | None:
    part = parts_of(model)[0]
    network = network_of(part) if part.kind == scorers.NETWORK else None
    return network if isinstance(network, (MaskNetwork, WarpNetwork)) else None


def network_maps(network: Network, tiles: Tensor) -> Tensor:
    """The same of a mask or a warp network."""
    if isinstance(network, MaskNetwork):
        return scorers.score_tiles(lambda part: network.mask_logits(part).sigmoid(), tiles)
    assert isinstance(network, WarpNetwork)
    return scorers.score_tiles(lambda part: network.logits_and_flow(part)[1], tiles)
