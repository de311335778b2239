"""All cells of a frame without a click by the user: a grid of clicks, and what they agree on.

Kirillov et al. 2023, *Segment Anything*, appendix D ("automatic mask generation"), with windows: a
first look at every octave of magnification tells how large the cells are, and a second one is taken
at three magnifications that suit them; all answers count, unless the size was given. Clicks share
windows of a fixed lattice, so that each is encoded once, and go through the network in batches.
The second look leaves out what was bare in the first one.
Nothing of the session changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import distance_transform_edt

from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.finding.choosing import Answer, Cell, Mask, choose
from napari_sam2.tracking.masks.resampling import to_data
from napari_sam2.tracking.network.engine import Engine
from napari_sam2.tracking.prompt import Prompt, Prompts
from napari_sam2.tracking.whole_numbers import whole_number
from napari_sam2.tracking.windows import TOKEN, Geometry, Window, box_of, suitable_zoom, whole

LEAST_QUALITY = 0.65

_SIDE, _STRIDE = 12, 6  # tokens of a window, and between windows
_PITCH = {True: 24.0, False: 32.0}  # model pixels between clicks, in windows and on whole frames
_CELLS = (20, 1400)  # of 4 model pixels, that a mask in a window may have: radii of 10 to 84 px
_LEAST_CELLS = 20  # of a mask on a whole frame
_LEAST_IOU = 0.4  # predicted; what is less sure is no witness either
_COVERED = 0.75  # quality of cells that get no more clicks, where there is one magnification
_ALWAYS = 2**21  # model pixels of a frame, up to which a magnification is always looked at
_FINEST = 1.5  # times the magnification that suits the cells found
_AROUND = (0, 1, -2)  # half octaves from the magnification that suits a given diameter
_BELOW = (0, -1, -2)  # likewise, where there is none above
_APART = 0.5  # of a given diameter, between clicks
_UNKNOWN_DIAMETER = 30.0  # px, assumed while nothing has been found
_TINY_RADIUS = 10.0  # px; small cells are found at a finer magnification than they are followed at
# What shows where cells are: predicted IoU, and so many diameters around it. First at the
# magnification that suits them best, then at the others, which know what was seen there.
_SEEN, _SEEN_BEST = (0.45, 0.5), (0.6, 0.25)
_LEAST_WITNESS = 0.45  # quality of cells that may tell how large cells are


@dataclass(frozen=True, eq=False, repr=False)
class Found:
    """What is known so far.

    Parameters
    ----------
    done, total : clicks answered or found needless, and planned so far: the plan may grow once it
        is known how large the cells are.
    cells : the best first; none before the first look is over, and final in the last item.
    first_id : from here on, ids are free in the session.
    look : how many times the frame was looked at, this time included; each has a plan of its own.
    """

    done: int
    total: int
    cells: Sequence[Cell]
    first_id: int = 1
    look: int = 1

    def __repr__(self) -> str:
        return f"Found(cells: {len(self.cells)}, clicks: {self.done} of {self.total})"

    def prompts(self, frame: int, first_id: int | None = None) -> Prompts:
        """Return the cells as mask prompts, object id -> {`frame`: prompt}, the best first.

        They get ids from `first_id` on, by default such as were free in the session.
        """
        first = self.first_id if first_id is None else first_id
        return {i: {frame: Prompt(mask=c.thin)} for i, c in enumerate(self.cells, start=first)}


@torch.inference_mode()
def everything(
    engine: Engine,
    frame: int,
    *,
    taken: npt.ArrayLike | None = None,
    diameter: float | None = None,
    least_quality: float = LEAST_QUALITY,
    most: int | None = None,
    within: Mask | None = None,
) -> Iterator[Found]:
    """Segment all cells of a frame; see `TrackingSession.segment_everything`.

    Where `within` (Y, X) is given, only cells are looked for that have a part there.
    """
    occupied = _checked(engine, frame, taken, diameter, least_quality, most)
    search = _Search(engine, frame, occupied, occupied if within is None else occupied | ~within)
    levels = [*engine.levels.values()]
    cells: list[Cell] = []
    known = diameter is not None
    if not known:
        octaves = engine.octaves[::-1]
        search.plan([g for g in octaves if not _large(g) or len(levels) == 1])
        yield from search.ask(cells)
        diameter = _typical(search.choose(_LEAST_WITNESS))
        finest = _FINEST * suitable_zoom((diameter or _UNKNOWN_DIAMETER) / 2, _TINY_RADIUS)
        search.plan(
            [g for g in octaves if _large(g) and g.zoom <= finest and g not in search.answers]
        )
        yield from search.ask(cells)
        cells = search.choose(least_quality)[:most]
        diameter = _typical(search.choose(_LEAST_WITNESS))
    if diameter is not None and (len(levels) > 1 or not search.answers):
        near = _near(levels, diameter)
        search.plan([g for g in near if g not in search.answers], diameter)
        yield from search.ask(cells, diameter)
        # A guessed size does not rule out what was seen at other magnifications.
        cells = search.choose(least_quality, near if known else None, diameter)[:most]
    yield Found(search.total, search.total, cells, look=search.look)


class _Search:
    """Clicks on a frame and their answers, by magnification.

    Parameters
    ----------
    engine, frame : where.
    occupied : (Y, X), pixels that belong to no cell.
    unclicked : (Y, X), pixels that get no clicks, these among them.
    """

    def __init__(self, engine: Engine, frame: int, occupied: Mask, unclicked: Mask) -> None:
        self.engine = engine
        self.frame = frame
        self.occupied = occupied
        self.unclicked = unclicked
        self.answers: dict[Geometry, list[Answer]] = {}
        self.done = self.total = self.look = 0
        self._planned: list[tuple[Geometry, npt.NDArray[np.float64]]] = []

    def plan(self, levels: Sequence[Geometry], diameter: float | None = None) -> None:
        """Lay a grid of clicks at each level, half a diameter apart where that is known."""
        for level in levels:
            pitch = _PITCH[self.engine.windowed]
            if diameter is not None:
                pitch = max(pitch, diameter * level.zoom * _APART)
            rows, columns = _axes(level, pitch)
            # Of a single level every other click first, so that many others are needless.
            single = len(self.engine.levels) == 1
            for a, b in ((0, 0), (1, 1), (0, 1), (1, 0)) if single else ((0, 0),):
                apart = 2 if single else 1
                points = _lattice(rows[a::apart], columns[b::apart])
                self._planned.append((level, points))
                self.total += len(points)

    def ask(self, cells: Sequence[Cell], diameter: float | None = None) -> Iterator[Found]:
        """Answer what is planned.

        Parameters
        ----------
        cells : what is known meanwhile.
        diameter : of a typical cell in data pixels, once it is known: where nothing was seen until
            now, nor near it, there is nothing to click on.
        """
        self.look += bool(self._planned)
        for n, (level, planned) in enumerate(self._planned):
            covered = self.unclicked.copy()
            if diameter is not None:
                covered |= self._bare(diameter, *(_SEEN_BEST if n else _SEEN))
            if len(self.engine.levels) == 1:
                for cell in self.choose(_COVERED):
                    covered[cell.thin.place] |= cell.thin.part
            rows, columns = np.rint(planned).astype(int).T
            points = planned[~covered[rows, columns]]
            self.done += len(planned) - len(points)
            known = self.answers.setdefault(level, [])
            for count, part in _answered(self.engine, self.frame, level, points):
                known += part
                self.done += count
                yield Found(self.done, self.total, cells, look=self.look)
        self._planned = []

    def _bare(self, diameter: float, sure: float, near: float) -> Mask:
        """Return where no answer that is so sure is within so many diameters."""
        seen = np.zeros(self.engine.frames.shape, dtype=bool)
        for answers in self.answers.values():
            for answer in answers:
                if answer.iou >= sure:
                    seen[answer.place] |= answer.mask
        return seen if not seen.any() else distance_transform_edt(~seen) > near * diameter

    def choose(
        self,
        least_quality: float,
        levels: Sequence[Geometry] | None = None,
        diameter: float | None = None,
    ) -> list[Cell]:
        """Return the cells by the answers so far, at some levels or at all of them."""
        chosen = self.answers if levels is None else levels
        answers = [a for level in chosen for a in self.answers[level]]
        return choose(answers, self.occupied, least_quality, diameter)


def _large(geometry: Geometry) -> bool:
    """Whether a frame is so large at a magnification that a look at all of it takes long."""
    return geometry.size[0] * geometry.size[1] > _ALWAYS


def _near(levels: Sequence[Geometry], diameter: float) -> list[Geometry]:
    """Return the levels that suit cells of a diameter."""
    zoom = suitable_zoom(diameter / 2, _TINY_RADIUS)
    best = min(range(len(levels)), key=lambda i: abs(np.log(zoom / levels[i].zoom)))
    around = _AROUND if best + 1 < len(levels) else _BELOW
    return [levels[best + i] for i in around if best + i >= 0]


def _typical(cells: Sequence[Cell]) -> float | None:
    """Return the diameter of the median cell in data pixels, or None without any.

    Large and sure ones weigh more: there is room for many small mistakes beside them.
    """
    some = [cell for cell in cells if cell.quality >= LEAST_QUALITY] or list(cells[:3])
    if not some:
        return None
    some.sort(key=lambda cell: cell.thin.area)
    areas = np.array([cell.thin.area for cell in some])
    sure = np.array([max(cell.quality - 0.5, 0.01) for cell in some])
    weights = np.cumsum(np.sqrt(areas) * sure)
    middle = areas[np.searchsorted(weights, weights[-1] / 2)]
    return diameter_of(middle)


def diameter_of(area: float) -> float:
    """Return the diameter of a disk of some area."""
    return float(np.sqrt(4 * area / np.pi))


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
    if not 0 <= whole_number(frame, "a frame") < length:
        raise InputError(f"frame {frame} does not exist; there are frames 0 to {length - 1}")
    check_diameter(diameter, shape)
    if not 0 <= least_quality <= 1:
        raise InputError(f"the least quality is a number from 0 to 1, not {least_quality:g}")
    if most is not None and whole_number(most, "the number of cells") < 1:
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


def check_diameter(diameter: Any, shape: tuple[int, int]) -> None:
    """Refuse a diameter in data pixels that no cell on frames of (Y, X) pixels can have.

    Raises
    ------
    InputError
        If it is no number, below 1 or above twice the frame.
    """
    if not isinstance(diameter, Real | None):
        raise InputError(f"a diameter is a number of pixels, not {diameter!r}")
    if diameter is not None and not 1 <= float(diameter) <= 2 * max(shape):
        raise InputError(
            f"a diameter of {diameter:g} px does not suit frames of {shape[1]} x {shape[0]} px; "
            "give that of a typical cell in pixels"
        )


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
    count = max(1, engine.room.batch_tokens // size)
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
