"""All cells of a frame without a click by the user: a grid of clicks, and what they agree on.

Kirillov et al. 2023, *Segment Anything*, appendix D ("automatic mask generation"), with windows: a
grid is laid at every magnification of a frame, coarse to fine, until the cells that were found are
large for it. Clicks share windows of a fixed lattice, so that each is encoded once, and go through
the network in batches. Nothing of the session changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from napari_sam2.tracking.choosing import Answer, Cell, Mask, choose
from napari_sam2.tracking.engine import Engine
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.prompt import Prompt, Prompts
from napari_sam2.tracking.resampling import to_data
from napari_sam2.tracking.windows import TOKEN, Geometry, Window, box_of, suitable_zoom, whole

LEAST_QUALITY = 0.6

_SIDE, _STRIDE = 12, 6  # tokens of a window, and between windows
_PITCH = {True: 24.0, False: 32.0}  # model pixels between clicks, in windows and on whole frames
_CELLS = (20, 1400)  # of 4 model pixels, that a mask in a window may have: radii of 10 to 84 px
_LEAST_CELLS = 20  # of a mask on a whole frame
_LEAST_IOU = 0.4  # predicted; what is less sure is no witness either
_COVERED = 0.75  # quality of cells that get no more clicks, where there is one magnification
_ALWAYS = 2**21  # model pixels of a frame, up to which a magnification is always looked at
_FINEST = 1.5  # times the magnification that suits the cells found
_AROUND = (-2, 0, 2)  # half octaves from the magnification that suits a given diameter
_UNKNOWN_RADIUS = 15.0  # px, assumed while nothing has been found


@dataclass(frozen=True, eq=False)
class Found:
    """What is known so far.

    Parameters
    ----------
    done, total : clicks answered or found needless, and planned.
    cells : the best first; chosen anew after each magnification, and final in the last item.
    """

    done: int
    total: int
    cells: Sequence[Cell]

    def prompts(self, frame: int, first_id: int = 1) -> Prompts:
        """Return the cells as mask prompts, object id -> {`frame`: prompt}, the best first."""
        return {i: {frame: Prompt(mask=c.mask)} for i, c in enumerate(self.cells, start=first_id)}


@dataclass(frozen=True, eq=False)
class _Round:
    """Clicks (K, 2) in data pixels at one magnification."""

    geometry: Geometry
    points: npt.NDArray[np.float64]


@torch.inference_mode()
def everything(
    engine: Engine,
    frame: int,
    *,
    taken: npt.ArrayLike | None = None,
    diameter: float | None = None,
    least_quality: float = LEAST_QUALITY,
    most: int | None = None,
) -> Iterator[Found]:
    """Segment all cells of a frame; see `TrackingSession.segment_everything`."""
    occupied = _checked(engine, frame, taken, diameter, least_quality, most)
    rounds = _rounds(engine, diameter)
    done, total = 0, sum(len(r.points) for r in rounds)
    answers: list[Answer] = []
    cells: list[Cell] = []
    for each in rounds:
        if diameter is None and _needless(each.geometry, cells):
            continue
        covered = occupied.copy()
        if len(engine.levels) == 1:
            for cell in cells:
                covered |= cell.mask & (cell.quality >= _COVERED)
        rows, columns = np.rint(each.points).astype(int).T
        points = each.points[~covered[rows, columns]]
        done += len(each.points) - len(points)
        for count, part in _answered(engine, frame, each.geometry, points):
            answers += part
            done += count
            yield Found(done, total, cells)
        cells = choose(answers, occupied, least_quality, diameter)[:most]
    yield Found(total, total, cells)


def _needless(geometry: Geometry, cells: Sequence[Cell]) -> bool:
    """Whether a magnification costs much and is far more than the cells found so far need."""
    radius = _UNKNOWN_RADIUS
    if cells:
        radius = float(np.sqrt(np.median([cell.mask.sum() for cell in cells]) / np.pi))
    large = geometry.size[0] * geometry.size[1] > _ALWAYS
    return large and geometry.zoom > _FINEST * suitable_zoom(radius)


def _checked(
    engine: Engine,
    frame: int,
    taken: npt.ArrayLike | None,
    diameter: float | None,
    least_quality: float,
    most: int | None,
) -> Mask:
    """Return what is taken (Y, X), after a look at the other arguments."""
    shape, length = engine.frames.shape, len(engine.frames)
    if not 0 <= frame < length:
        raise InputError(f"frame {frame} does not exist; the stack has frames 0 to {length - 1}")
    check_diameter(diameter, shape)
    if not 0 <= least_quality <= 1:
        raise InputError(f"the least quality is a number from 0 to 1, not {least_quality:g}")
    if most is not None and most < 1:
        raise InputError(f"at most {most} cells would be none; give 1 or more, or leave it out")
    if taken is None:
        return np.zeros(shape, dtype=bool)
    occupied: Mask = np.asarray(taken) != 0
    if occupied.shape != shape:
        raise InputError(
            f"what is taken has shape {occupied.shape}, the frame {shape}; give labels of this "
            "frame (Y, X)"
        )
    return occupied


def check_diameter(diameter: float | None, shape: tuple[int, int]) -> None:
    """Refuse a diameter in data pixels that no cell on frames of (Y, X) pixels can have.

    Raises
    ------
    InputError
        If it is below 1 or twice the frame.
    """
    if diameter is not None and not 1 <= diameter <= 2 * max(shape):
        raise InputError(
            f"a diameter of {diameter:g} px does not suit frames of {shape[1]} x {shape[0]} px; "
            "give that of a typical cell in pixels"
        )


def _rounds(engine: Engine, diameter: float | None) -> list[_Round]:
    """Plan the clicks, coarse to fine."""
    levels = [*engine.levels.values()]
    pitch = _PITCH[engine.windowed]
    if len(levels) == 1:
        # One magnification: every other click first, so that many of the others are needless.
        (level,) = levels
        if diameter is not None:
            pitch = max(diameter * level.zoom / 2, TOKEN / 2)
        rows, columns = _axes(level, pitch)
        return [
            _Round(level, _lattice(rows[a::2], columns[b::2]))
            for a, b in ((0, 0), (1, 1), (0, 1), (1, 0))
        ]
    if diameter is None:
        chosen = levels[::-1][::2][::-1]
    else:
        zoom = suitable_zoom(diameter / 2)
        best = min(range(len(levels)), key=lambda i: abs(np.log(zoom / levels[i].zoom)))
        chosen = [levels[i] for i in range(len(levels)) if i - best in _AROUND]
    return [_Round(level, _lattice(*_axes(level, pitch))) for level in chosen]


def _axes(
    geometry: Geometry, pitch: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Rows and columns of clicks in data pixels, about `pitch` model pixels apart."""

    def along(length: int, size: int) -> npt.NDArray[np.float64]:
        count = min(max(1, round(size / pitch)), length)
        return (np.arange(count) + 0.5) * length / count - 0.5

    (y, x), (height, width) = geometry.shape, geometry.size
    return along(y, height), along(x, width)


def _lattice(
    rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)


def _answered(
    engine: Engine, frame: int, geometry: Geometry, points: npt.NDArray[np.float64]
) -> Iterator[tuple[int, list[Answer]]]:
    """Answer clicks at one magnification in batches; yield their number and usable answers."""
    if engine.windowed:
        windows = [_window(geometry, point) for point in points]
        order = sorted(range(len(points)), key=lambda i: (windows[i].row, windows[i].column))
        limits = _CELLS
    else:
        windows, order = [whole(geometry)] * len(points), [*range(len(points))]
        limits = (_LEAST_CELLS, 8 * geometry.tokens[0] * geometry.tokens[1])
    size = 1 if not windows else windows[0].height * windows[0].width
    count = max(1, engine.batch_tokens // size)
    for start in range(0, len(order), count):
        part = order[start : start + count]
        prediction = engine.click(frame, [windows[i] for i in part], points[part])
        cells = (prediction.best_logits > 0).flatten(1).sum(dim=1)
        usable = (prediction.best_iou >= _LEAST_IOU) & (prediction.object_score > 0)
        usable &= (cells >= limits[0]) & (cells <= limits[1])
        found = []
        for k in usable.nonzero()[:, 0].tolist():
            i = part[k]
            place, logits = to_data(geometry, windows[i], prediction.best_logits[k])
            box = box_of(logits)
            if box is not None:
                y0, x0, y1, x1 = box
                corner = (place[0].start + y0, place[1].start + x0)
                point = (float(points[i, 0]), float(points[i, 1]))
                iou = float(prediction.best_iou[k])
                mask = logits[y0:y1, x0:x1] > 0
                found.append(Answer(point, geometry.zoom, iou, corner, mask))
        yield len(part), found


def _window(geometry: Geometry, point: npt.NDArray[np.float64]) -> Window:
    """Return the window of the lattice whose middle is closest to a click."""
    starts, sides = [], []
    for place, scale, length in zip(point, geometry.scale, geometry.tokens, strict=True):
        start = _STRIDE * round((place * scale / TOKEN - _SIDE / 2) / _STRIDE)
        side = min(_SIDE, length)
        starts.append(min(max(start, 0), length - side))
        sides.append(side)
    return Window(starts[0], starts[1], sides[0], sides[1], geometry.tokens)
