"""What the tests of networks whose every weight is equalized share."""

import math

import pytest

STORED = ".parametrizations.weight.original"


def gains(network):
    """By the layer's name, how many times 1/√(what an output sees) a stored weight is used.

    Checks that all parameters besides biases are stored weights, of deviation 1. Of up-sampling
    layers only those are known that up-sample first.
    """
    found = {}
    for name, stored in network.named_parameters():
        if not name.endswith(".bias"):
            assert name.endswith(STORED), name
            number = stored.numel()
            assert float(stored.detach().std()) == pytest.approx(1, abs=4 / math.sqrt(2 * number))
            layer = network.get_submodule(name.removesuffix(STORED))
            factors = (layer.weight / stored).detach()
            factor = float(factors.mean())
            assert factors.sub(factor).abs().max() < 1e-5 * factor, name
            found[name.removesuffix(STORED)] = factor * math.sqrt(stored[0].numel())
    return found
