"""Registry of checkpoints, where they are kept, and how a name becomes a model."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import platformdirs
import torch
import torch.nn.functional as F

from napari_sam2.fetch import DownloadError, Progress, fetch, sha256_of
from napari_sam2.model.checkpoint import CheckpointError, build_model
from napari_sam2.model.sam2 import SAM2
from napari_sam2.tracking.errors import InputError

__all__ = [
    "REGISTRY",
    "Checkpoint",
    "CheckpointError",
    "DownloadError",
    "ModelInfo",
    "UnknownModelError",
    "Verified",
    "available_models",
    "cache_folder",
    "download",
    "is_file_name",
    "lasting_name",
    "load_model",
    "locate",
    "pick_device",
    "verify",
]

BASE_URL = "https://dl.fbaipublicfiles.com/segment_anything_2/"
EMBEDDED = "micro"
_SUFFIXES = (".pt", ".pth", ".safetensors")


class UnknownModelError(InputError):
    """A name that is neither of a known model nor of a file."""


@dataclass(frozen=True)
class Checkpoint:
    """An official checkpoint.

    Parameters
    ----------
    name
        The name by which it is loaded.
    path
        Where it is, below the base address.
    sha256
        Of the file, in hexadecimal.
    size
        Of the file, in bytes, to the megabyte.
    """

    name: str
    path: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """The last part of `path`, and its name in the cache folder."""
        return self.path.rpartition("/")[2]

    def url(self, base_url: str | None = None) -> str:
        """Return its address; `base_url` or NAPARI_SAM2_BASE_URL name a mirror."""
        base = base_url or os.environ.get("NAPARI_SAM2_BASE_URL") or BASE_URL
        return base.rstrip("/") + "/" + self.path


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model on this computer.

    Parameters
    ----------
    name
        The name by which it is loaded.
    embedded
        Whether it ships in the package.
    downloaded
        Whether it can be loaded without a network.
    size
        In bytes; `None` if unknown.
    location
        Where its file is, or where it would be.
    """

    name: str
    embedded: bool
    downloaded: bool
    size: int | None
    location: Path


@dataclass(frozen=True)
class Verified:
    """The SHA-256 of a file, and the official model of that hash, if it is one."""

    sha256: str
    name: str | None


# Release, name, megabytes, SHA-256.
_OFFICIAL = """
092824 sam2.1_hiera_tiny 156 7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69
092824 sam2.1_hiera_small 184 6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38
092824 sam2.1_hiera_base_plus 324 a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5
092824 sam2.1_hiera_large 898 2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318
072824 sam2_hiera_tiny 156 65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125
072824 sam2_hiera_small 184 95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3
072824 sam2_hiera_base_plus 323 d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071
072824 sam2_hiera_large 898 7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b
"""

REGISTRY: dict[str, Checkpoint] = {
    name: Checkpoint(name, f"{release}/{name}.pt", sha256, int(megabytes) * 1_000_000)
    for release, name, megabytes, sha256 in (line.split() for line in _OFFICIAL.split("\n") if line)
}


def load_model(
    name_or_path: str | Path = EMBEDDED,
    device: str = "auto",
    *,
    half: bool | None = None,
    progress: Progress | None = None,
) -> SAM2:
    """Load a model, downloading its weights if need be.

    Nothing from the file is executed.

    Parameters
    ----------
    name_or_path
        ``"micro"`` (in the package), the name of an official checkpoint, or a file in the official
        layout: .pt, .pth or .safetensors.
    device
        ``"auto"`` (CUDA, else Apple's MPS, else the CPU) or a device that torch knows.
    half
        Compute in bfloat16 on a GPU that has units for it. Default: as published, so for Meta's
        models alone. On a CPU always float32.
    progress
        Called while downloading with the bytes that are there and the bytes in all, if known. What
        it raises ends the download.

    Raises
    ------
    UnknownModelError
        If there is neither a model of that name nor a file.
    InputError
        If the device does not exist, or a file in the cache is not what its name says.
    CheckpointError
        If weights are damaged or do not fit; missing, left over and wrongly shaped ones are named.
    DownloadError
        If the weights cannot be downloaded.
    """
    where = pick_device(device)
    model = build_model(locate(name_or_path, progress)).to(where)
    if half is not None:
        model.half_precision = half
    return model


def pick_device(device: str = "auto") -> torch.device:
    """Turn the name of a device into one that exists; ``"auto"`` takes the fastest.

    Raises
    ------
    InputError
        If torch does not know it, this computer does not have it, or this torch cannot do on it
        what the network needs.
    """
    has_mps = torch.backends.mps.is_available()
    if device == "auto":
        usable = has_mps and _can_all(torch.device("mps"))
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if usable else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"unknown device {device!r}; use auto, cpu, cuda or mps") from error
    exists = {
        "cpu": True,
        "cuda": (chosen.index or 0) < torch.cuda.device_count(),
        "mps": has_mps,
    }
    if not exists.get(chosen.type, False):
        raise InputError(f"this computer has no device {device!r} that torch can use; use auto")
    if chosen.type == "mps" and not _can_all(chosen):
        raise InputError(
            f"torch {torch.__version__} cannot do all that is needed on {device!r}; update torch, "
            "or use cpu"
        )
    return chosen


@cache
def _can_all(device: torch.device) -> bool:
    """Whether torch has what not every version has on Apple's GPUs."""
    try:
        planes = torch.zeros(1, 1, 4, 4, device=device)
        grid = torch.zeros(1, 2, 2, 2, device=device)
        F.grid_sample(planes, grid, padding_mode="border", align_corners=True)
        F.interpolate(planes, size=(2, 2), mode="bilinear", align_corners=False, antialias=True)
        planes.to(torch.bfloat16).float()  # as memories are kept; before macOS 14 a TypeError
    except (RuntimeError, TypeError):  # NotImplementedError is one of the first
        return False
    return True


def download(name: str, progress: Progress | None = None, base_url: str | None = None) -> Path:
    """Bring an official checkpoint into the cache folder, unless it is there.

    A download that was cut or cancelled continues where it stopped.

    Parameters
    ----------
    name
        Of an official checkpoint.
    progress
        Called with the bytes that are there and the bytes in all, if known. What it raises
        cancels the download.
    base_url
        Address of a mirror; also NAPARI_SAM2_BASE_URL.

    Returns
    -------
    Path
        Of the file.

    Raises
    ------
    UnknownModelError
        If there is no such checkpoint.
    DownloadError
        If it fails; the message says how to place the file by hand.
    """
    if name == EMBEDDED:
        return _embedded_path()
    if name not in REGISTRY:
        raise _unknown(name)
    checkpoint = REGISTRY[name]
    target = cache_folder() / checkpoint.file_name
    try:
        return fetch(checkpoint.url(base_url), target, checkpoint.sha256, progress)
    except DownloadError as error:
        addresses = dict.fromkeys([checkpoint.url(base_url), checkpoint.url(BASE_URL)])
        raise DownloadError(
            f"{error}. By hand: get {' or '.join(addresses)} on any computer and put it into "
            f"{target.parent} as {target.name}. Offline, the model {EMBEDDED!r} always works"
        ) from error


def available_models() -> list[ModelInfo]:
    """List the models that load by name, the embedded one first."""
    embedded = _embedded_path()
    there = embedded.is_file()
    models = [
        ModelInfo(EMBEDDED, True, there, embedded.stat().st_size if there else None, embedded)
    ]
    for checkpoint in REGISTRY.values():
        path = cache_folder() / checkpoint.file_name
        there = path.is_file()
        size = path.stat().st_size if there else checkpoint.size
        models.append(ModelInfo(checkpoint.name, False, there, size, path))
    return models


def verify(path: str | Path) -> Verified:
    """Hash a file and tell which official checkpoint it is.

    Raises
    ------
    InputError
        If there is no such file, or it has the name of an official checkpoint but not its hash.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file at {path}; check the path")
    found = sha256_of(path)
    for checkpoint in REGISTRY.values():
        if checkpoint.sha256 == found:
            return Verified(found, checkpoint.name)
    embedded = _embedded_path()
    if embedded.is_file() and sha256_of(embedded) == found:
        return Verified(found, EMBEDDED)
    if any(checkpoint.file_name == path.name for checkpoint in REGISTRY.values()):
        raise InputError(
            f"{path} is damaged or not the official {path.name} (SHA-256 {found[:12]}...); remove "
            "it to download it again, or rename it if it is your own"
        )
    return Verified(found, None)


def cache_folder() -> Path:
    """Return where downloaded weights are kept: NAPARI_SAM2_CACHE, else the user's cache."""
    chosen = os.environ.get("NAPARI_SAM2_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return platformdirs.user_cache_path("napari-sam2", appauthor=False)


def locate(name_or_path: str | Path, progress: Progress | None = None) -> Path:
    """Return the file that a name or a path stands for, downloading it if need be.

    Raises
    ------
    UnknownModelError, InputError, DownloadError
        As in `load_model`.
    """
    if str(name_or_path) == EMBEDDED:
        path = _embedded_path()
        if not path.is_file():
            raise InputError(
                "the embedded model is missing from this installation; install napari-sam2 again, "
                "or name another model"
            )
        return path
    if str(name_or_path) in REGISTRY:
        path = download(str(name_or_path), progress)
        verify(path)  # the user may have placed it by hand
        return path
    path = Path(name_or_path).expanduser()
    if path.is_file():
        if not is_file_name(path):
            raise InputError(f"{path} is no checkpoint; give a {', '.join(_SUFFIXES)} file")
        return path
    if is_file_name(path) or path.name != str(name_or_path):
        raise UnknownModelError(
            f"no checkpoint at {path}; check the path, or name one of: {', '.join(_names())}"
        )
    raise _unknown(str(name_or_path))


def is_file_name(name_or_path: str | Path) -> bool:
    """Whether it stands for a file of weights, there or not; else it is the name of a model."""
    return Path(name_or_path).suffix.lower() in _SUFFIXES


def lasting_name(name_or_path: str | Path) -> str:
    """Return the name of a model, or the whole path of a file, to be found from any folder."""
    if not is_file_name(name_or_path):
        return str(name_or_path)
    return str(Path(name_or_path).expanduser().resolve())


def _unknown(name: str) -> UnknownModelError:
    close = difflib.get_close_matches(name, _names(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return UnknownModelError(
        f"unknown model {name!r}; {hint}Known are: {', '.join(_names())}; or give a file "
        f"({', '.join(_SUFFIXES)})"
    )


def _names() -> list[str]:
    return [EMBEDDED, *REGISTRY]


def _embedded_path() -> Path:
    return Path(str(files("napari_sam2") / "embedded" / f"{EMBEDDED}.safetensors"))
