"""Encodings of whole frames on disk: a stack that is opened again is not encoded again.

One safetensors file of float16 maps for each frame, named by what it depends on: the weights, the
frame as the network sees it, and its size.
"""

from __future__ import annotations

import os
import re
import time
import warnings
from contextlib import suppress
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from uuid import uuid4

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from napari_sam2.model.sam2 import SAM2
from napari_sam2.replacing import patiently
from napari_sam2.tracking.stack.fingerprints import SIZE, model_fingerprint, tensor_bytes

Maps = tuple[Tensor, Tensor, Tensor]  # strides 16, 8 and 4
_NAMES = ("stride16", "stride8", "stride4")
_SLACK = 16  # where room has to be made, this part of all of it
_STALE = 24 * 3600  # seconds after which nobody completes a part of a file
# The names that are given here; whatever else is in the folder is the user's own.
_WHOLE = re.compile(rf"[0-9a-f]{{{2 * SIZE}}}\.safetensors")
_PART = re.compile(rf"[0-9a-f]{{{2 * SIZE}}}-[0-9a-f]{{32}}\.part")


class EncodingStore:
    """A folder of encodings.

    Values are rounded to float16 before their first use, so that the results are the same whether
    a frame was encoded now or earlier.

    Parameters
    ----------
    folder : is made when the first encoding is kept.
    model : whose encodings these are.
    most : bytes of encodings in the folder; beyond that those that were used longest ago are
        removed. Other files in it are let alone.
    """

    def __init__(self, folder: Path, model: SAM2, most: int = 20 << 30) -> None:
        self.folder = Path(folder)
        self.model = model
        self.most = most
        self._closed = False
        self._spare = 0  # bytes that may be written before the folder is looked through

    @cached_property
    def _weights(self) -> bytes:
        return model_fingerprint(self.model)

    def path(self, image: Tensor) -> Path:
        """Return the file for a frame (1, 3, H, W) as the network sees it."""
        digest = blake2b(self._weights, digest_size=SIZE)
        digest.update(repr(tuple(image.shape)).encode())
        digest.update(tensor_bytes(image))
        return self.folder / f"{digest.hexdigest()}.safetensors"

    def load(self, path: Path) -> Maps | None:
        """Return what `keep` was given, on the model's device; None if it is not whole."""
        try:
            found = load(path.read_bytes())
            with suppress(OSError):  # others' files, or a folder that is only read
                path.touch()
            first, second, third = (
                found[name][None].to(self.model.device).float() for name in _NAMES
            )
        except (OSError, SafetensorError, KeyError):
            return None
        return first, second, third

    def keep(self, path: Path, maps: Maps) -> Maps:
        """Write an encoding, (1, C, h, w) each, and return it as it will be read.

        Gives up on a disk that is full.
        """
        halves = [part.half() for part in maps]
        if not all(bool(part.isfinite().all()) for part in halves):
            return maps
        if not self._closed:
            try:
                self._write(path, {n: h[0].cpu() for n, h in zip(_NAMES, halves, strict=True)})
            except OSError as error:
                self._closed = True
                warnings.warn(
                    f"encodings are no longer kept in {self.folder}: {error}", stacklevel=2
                )
        first, second, third = (part.float() for part in halves)
        return first, second, third

    def _write(self, path: Path, maps: dict[str, Tensor]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        data = save({name: part.contiguous() for name, part in maps.items()})
        self._make_room(len(data))
        temporary = path.with_name(f"{path.stem}-{uuid4().hex}.part")  # others may write it, too
        try:
            temporary.write_bytes(data)
            patiently(lambda: temporary.replace(path))
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def _make_room(self, needed: int) -> None:
        """Remove old files where there is no room; the folder is looked through now and then."""
        self._spare -= needed
        if self._spare >= 0:
            return
        for file, stat in self._listed(_PART):
            if stat.st_mtime < time.time() - _STALE:
                _remove(file)
        files = self._listed(_WHOLE)
        total = needed + sum(stat.st_size for _, stat in files)
        wanted = self.most if total <= self.most else self.most - self.most // _SLACK
        for file, stat in sorted(files, key=lambda item: item[1].st_mtime):
            if total <= wanted:
                break
            _remove(file)
            total -= stat.st_size
        self._spare = (self.most - total) // 2  # another job may fill the rest

    def _listed(self, names: re.Pattern[str]) -> list[tuple[Path, os.stat_result]]:
        """Return files and what the system says of them, without those that are gone again."""
        found = []
        for file in self.folder.glob("*"):
            if names.fullmatch(file.name) is None:
                continue
            with suppress(FileNotFoundError):  # another job has removed it
                found.append((file, file.stat()))
        return found


def _remove(file: Path) -> None:
    with suppress(OSError):  # another job has removed it, or reads it
        file.unlink()
