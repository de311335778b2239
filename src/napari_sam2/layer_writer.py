"""Labels layers as files of other programs: what napari's File menu asks. Needs no napari."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from napari_sam2.layer_data import PARENTS_KEY
from napari_sam2.physical_units import common_steps, length_unit
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.stack.axes import DEPTH_NAMES


def write_coco(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write COCO JSON; parameters and errors as for `write_labels`."""
    return write_labels(Path(path), data, meta, "coco")


def write_zarr(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write an OME-Zarr; parameters and errors as for `write_labels`."""
    return write_labels(Path(path), data, meta, "zarr")


def write_ctc(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Write a folder of the Cell Tracking Challenge; as for `write_labels`.

    napari wants a suffix for every kind of file, which such a folder does not have.
    """
    return write_labels(Path(path).with_suffix(""), data, meta, "ctc")


def write_labels(path: Path, data: Any, meta: dict[str, Any], format: str) -> list[str]:
    """Write a Labels layer of two or three axes.

    Parameters
    ----------
    path
        What is there is replaced if it is of the same kind: the user was asked.
    data, meta
        As napari hands them over.
    format
        A name in `FORMATS`.

    Returns
    -------
    The path.

    Raises
    ------
    InputError, OutputError
        If the labels have other axes, or cannot be written.
    """
    from napari_sam2.export.formats import export_masklets  # brings torch and scikit-image

    levels = data if isinstance(data, list | tuple) else [data]
    labels = levels[0]
    shape = tuple(int(n) for n in labels.shape)
    if len(shape) not in (2, 3):
        raise InputError(
            f"'{meta.get('name', 'the layer')}' has {len(shape)} axes, but the file holds frames "
            "of one plane; save one plane over time, or one volume"
        )
    names = [str(name).lower() for name in meta.get("axis_labels", ())]
    axes = ("Z" if names[:1] and names[0] in DEPTH_NAMES else "T") * (len(shape) == 3) + "YX"
    steps = [abs(float(step)) for step in meta.get("scale", (1.0,) * len(shape))]
    units = [str(unit) for unit in meta.get("units") or ("pixel",) * len(shape)]
    unit = units[-1]
    remarks = export_masklets(
        path,
        labels,
        format,
        axes=axes,
        scale=common_steps(axes, steps, units, unit),
        unit=length_unit(unit),  # napari knows more of them than files do
        parents=meta.get("metadata", {}).get(PARENTS_KEY),
        overwrite=True,
    )
    for remark in remarks:  # napari shows warnings
        warnings.warn(remark, stacklevel=2)
    return [str(path)]
