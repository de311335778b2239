"""Masklets in files as Labels layers: what napari asks when something is dropped on it.

Needs no napari itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_sam2.layer_data import settings

LayerData = tuple[Any, dict[str, Any], str]
Reader = Callable[[str | Sequence[str]], list[LayerData]]

_HEAD = 1 << 16  # of a JSON file


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """Return a reader for masklets, or None for whatever else it is; reads little of it.

    Parameters
    ----------
    path
        COCO or SA-V JSON. Not folders: napari would ask which reader to take for every one.
    """
    if not isinstance(path, str):
        return None
    try:
        ours = _holds_masks(Path(path))
    except (OSError, ValueError):
        return None
    return read_labels if ours else None


def _holds_masks(file: Path) -> bool:
    """Whether a file looks like COCO or SA-V, by its first keys."""
    name = file.name.lower()
    if not name.endswith(".json"):
        return False
    from napari_sam2.tracking.kept.session_file import SUFFIX  # only now: it takes half a second

    if name.endswith(SUFFIX):
        return False
    with file.open("rb") as opened:
        head = opened.read(_HEAD)
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return False
    # Some programs list thousands of images before the first annotation, others the reverse.
    coco = ((b'"images"', b'"file_name"'), (b'"annotations"', b'"segmentation"'))
    sa_v = (b'"masklet_id"', b'"video_height"')
    return any(all(key in head for key in keys) for keys in coco) or any(k in head for k in sa_v)


def read_labels(path: str | Sequence[str]) -> list[LayerData]:
    """Return one Labels layer, read frame by frame as it is shown.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    from napari_sam2.export.formats import open_masklets  # brings torch and scikit-image

    assert isinstance(path, str)
    stack = open_masklets(path)
    return [(stack.data, settings(stack), "labels")]
