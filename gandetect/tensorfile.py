"""One file of tensors and a JSON card under one digest; nothing in it can run code.

A safetensors file whose metadata hold the card and the SHA-256 of the card and every tensor, so
that an edit or a damaged byte is refused. It is no signature: whoever means harm can compute it
anew. The same content gives the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

Card = dict[str, Any]


def pack(tensors: Mapping[str, Tensor], card: Card, key: str) -> bytes:
    """The file with these `tensors` and this `card`, kept in its metadata under `key`."""
    document = {"card": card, "content_sha256": content_digest(tensors, card)}
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    # One metadata key: safetensors keeps the order of one, not of several.
    return bytes(safetensors.torch.save(contiguous, {key: canonical(document)}))


def unpack(data: bytes, key: str, kind: str, origin: str) -> tuple[dict[str, Tensor], Card]:
    """Tensors and card of what `pack` wrote.

    Raises ValueError, naming `origin` and the `kind` of file that was wanted, where `data` is
    something else or was changed.
    """
    try:
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        document = json.loads(header["__metadata__"][key])
        card, digest = document["card"], document["content_sha256"]
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{origin}: not a gandetect {kind} file ({error})") from error
    if digest != content_digest(tensors, card):
        raise ValueError(f"{origin}: its content was changed after it was saved; get it anew")
    return tensors, card


def content_digest(tensors: Mapping[str, Tensor], card: Card) -> str:
    """SHA-256 over the card and every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(canonical(card).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # As bytes: NumPy has no bfloat16, and a file may hold any type.
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def canonical(document: Any) -> str:
    """JSON that is the same for the same values."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def write_whole(path: str | Path, data: bytes) -> None:
    """Write `data` so that `path` holds all of it or what it held before, whenever power fails."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
