"""Short names for what is too large to compare: the weights of a model, the pixels of a stack."""

from __future__ import annotations

from hashlib import blake2b

import torch
from torch import Tensor

from napari_sam2.model.sam2 import SAM2
from napari_sam2.tracking.frames import Frames

SIZE = 16  # bytes


def model_fingerprint(model: SAM2) -> bytes:
    """Digest of all weights, the same on every device."""
    digest = blake2b(digest_size=SIZE)
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor_bytes(value))
    return digest.digest()


def frames_fingerprint(frames: Frames) -> str:
    """Digest, in hexadecimal, of the shape and the first, middle and last frame of a stack.

    A stack may be larger than memory or behind a network, so not all of it is read. The order of
    bytes does not count: of one file, some readers return the file's and some the machine's.
    """
    digest = blake2b(digest_size=SIZE)
    dtype = frames.dtype.newbyteorder("<")
    digest.update(repr((len(frames), *frames.shape, frames.rgb, dtype.str)).encode())
    for index in sorted({0, len(frames) // 2, len(frames) - 1}):
        digest.update(frames.read(index).astype(dtype, order="C", copy=False).tobytes())
    return digest.hexdigest()


def tensor_bytes(value: Tensor) -> bytes:
    """Return the values of a tensor as they lie in memory, contiguous."""
    return value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()
