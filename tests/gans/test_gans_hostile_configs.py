"""A configuration from elsewhere is refused before it builds anything, with what was wanted."""

import math

import pytest

from gandetect.gans import MODELS, model_class, preset

HOSTILE = [
    ("size", "64"),
    ("size", 64.0),
    ("size", 2**40),
    ("size", True),
    ("size", 0),
    ("channels", -3),
    ("latent", [128]),
    ("latent", 10**9),
    ("batch", math.inf),
    ("rate", math.nan),
    ("rate", "fast"),
    ("betas", [0.5, "x"]),
    ("betas", 0.5),
    ("loss", "unknown"),
    ("loss", None),
    ("up", "lanczos"),
    ("up_last", 3),
    ("ema", 1.0),
    ("widths", []),
    ("widths", [[8, 8], [8, 8], [8, 8], [8, 8]]),
    ("widths", ["8", "8", "8", "8"]),
    ("widths", [8, 8, 8, None]),
    ("widths", [2**30] * 4),
    ("widths", [8, 8, -8, 8]),
    ("widths", [1] * 10**5),
    ("widths", {"first": 8}),
    ("d_steps", 0),
    ("__class__", "os.system"),
]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("name", "value"), HOSTILE)
def test_refused(model, name, value):
    kind = model_class(model).Configuration
    with pytest.raises(ValueError, match=name):
        kind.from_dict({**preset(model).to_dict(), name: value})


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("which", ["smoke", "run"])
def test_what_was_written_comes_back(model, which):
    config = preset(model, which)
    kind = model_class(model).Configuration
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in config.to_dict().items()}
    assert kind.from_dict(values) == config
    assert type(config) is kind
