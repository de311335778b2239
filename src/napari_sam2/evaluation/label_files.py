"""Scores of files: label images, folders of the Cell Tracking Challenge, COCO and SA-V JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from napari_sam2.evaluation.metrics import LabelScores, evaluate_labels
from napari_sam2.export.ctc import Track, is_ctc
from napari_sam2.export.formats import masklet_axes, open_masklets, open_parents
from napari_sam2.export.labels import as_numbers
from napari_sam2.stacks import shared_out


def evaluate_files(
    prediction: Path, truth: Path, select: Mapping[str, int] | None = None
) -> tuple[LabelScores, tuple[str, ...]]:
    """Score predicted masklets in a file or folder against true ones.

    An object of the challenge's format that was away for some frames is one object. Divisions
    count, in TRA, where both hold them.

    Parameters
    ----------
    prediction, truth
        As for `open_masklets`.
    select
        Index along other axes, of both as far as they have them.

    Returns
    -------
    The scores, and in words what they leave out.

    Raises
    ------
    InputError
        If one cannot be read, or they do not fit together.
    """
    paths = (prediction, truth)
    parts = shared_out(select, *map(masklet_axes, paths)) if select else [{}, {}]
    labels = [
        as_numbers(open_masklets(path, select=part).data)
        for path, part in zip(paths, parts, strict=True)
    ]
    tracks = [_divisions(path) for path in paths]
    if None not in tracks:
        scores = evaluate_labels(*labels, pred_tracks=tracks[0], truth_tracks=tracks[1])
        return scores, ()
    remarks: tuple[str, ...] = ()
    if any(tracks):
        without = prediction if tracks[0] is None else truth
        remarks = (f"{without.name} is of a format without lineage: TRA leaves divisions out",)
    return evaluate_labels(*labels), remarks


def _divisions(path: Path) -> list[Track] | None:
    """Return a track for each daughter, of which only the ids count; None: not in the format."""
    if not (path.is_dir() and is_ctc(path)):
        return None
    return [Track(daughter, 0, 0, mother) for daughter, mother in open_parents(path).items()]
