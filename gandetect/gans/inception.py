"""FID and KID, by torch-fidelity, for those who have the weights of the Inception network.

Nothing is downloaded, and without these very weights there is no number: features of any other
network give distances that only look like an FID. `gandetect.gans.distances` needs no weights.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import Tensor
from torch.utils.data import Dataset

from gandetect.gans.distances import check_pair

NAME = "weights-inception-2015-12-05-6726825d.pth"
SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
URL = f"https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/{NAME}"
_SUBSET = 1000


def fid_and_kid(generated: Tensor, real: Tensor, weights: str | Path) -> dict[str, float]:
    """FID and KID of images (N, 1 or 3, S, S) uint8, with the Inception weights in a file.

    Keys: "fid", "kid" (mean over 100 subsets of up to 1000 images) and "kid_deviation" (over the
    subsets). Gray images are given as three equal channels. FID is biased by the number of images:
    quote both numbers.

    Raises ValueError where `weights` is no file or another one than `NAME`, and where
    torch-fidelity is not installed; for images as `distances.distances` does.
    """
    _check_weights(Path(weights))
    check_pair(generated, real)
    try:
        import torch_fidelity
    except ImportError as error:
        raise ValueError(
            f"FID needs torch-fidelity ({error}): pip install 'gandetect[fid]'"
        ) from error
    found = torch_fidelity.calculate_metrics(
        input1=_Colored(generated),
        input2=_Colored(real),
        fid=True,
        kid=True,
        kid_subset_size=min(_SUBSET, len(generated), len(real)),
        feature_extractor_weights_path=str(weights),
        cuda=False,
        cache=False,
        save_cpu_ram=True,
        verbose=False,
    )
    return {
        "fid": float(found["frechet_inception_distance"]),
        "kid": float(found["kernel_inception_distance_mean"]),
        "kid_deviation": float(found["kernel_inception_distance_std"]),
    }


def _check_weights(path: Path) -> None:
    """Raise ValueError, saying how to get them, where `path` does not hold the weights."""
    wanted = f"get {NAME} (96 MB) from {URL} and give its path"
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file. FID and KID need the weights of Inception: {wanted}"
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        raise ValueError(
            f"{path}: these are other weights (SHA-256 {digest[:16]}..., wanted {SHA256[:16]}...), "
            f"with which it would be no FID: {wanted}"
        )


class _Colored(Dataset[Tensor]):
    """Images (N, 1 or 3, S, S) uint8 one by one, in three channels."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index].expand(3, -1, -1).contiguous()
