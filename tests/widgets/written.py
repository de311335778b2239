"""Masklets in files of every kind, and the plugin that opens them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from fakes import blobs

PLUGIN = "napari-sam2"
DROPPED = {"coco": "coco.json", "sa-v": "video.json"}
FILES = {**DROPPED, "ctc": "01_RES", "zarr": "labels.zarr", "tiff": "labels.tif"}
MANIFEST = Path(__file__).resolve().parents[2] / "src" / "napari_sam2" / "napari.yaml"


def labels() -> np.ndarray:
    """Object 300 on all frames, object 7 on the first four; (6, 80, 100)."""
    cells = (blobs() > 0).astype(np.uint16)
    cells[:, :40] *= 300
    cells[:, 40:] *= 7
    cells[4:, 40:] = 0
    return cells
