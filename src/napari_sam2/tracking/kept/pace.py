"""How fast a model is on this device: measured as it works, and kept for the next time.

Before the first propagation of a session, its clicks tell (they cost what looking at a frame costs,
but for a factor that is known only roughly) and propagations of other stacks.
"""

from __future__ import annotations

import json
import logging
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from napari_sam2.replacing import replacing
from napari_sam2.tracking.kept.finding_steps import PropagateAndFind
from napari_sam2.tracking.kept.steps import Propagate, Repair, SetPrompt, Step

logger = logging.getLogger(__name__)

Clock = Callable[[], float]

_FILE = "pace.json"
_MOST_RUNS = 5
_LEAST_FRAMES = 3  # of a run that says something
_BOTH = 2.0  # the spread where other stacks and clicks tell, as measured


@dataclass(frozen=True)
class Costs:
    """What a model costs, in seconds on two cores of a CPU; see `docs/performance.md`.

    Only the proportions count as soon as something was measured.

    Parameters
    ----------
    click : the first click on a cell.
    frame : a frame of a propagation, whatever is on it.
    look : an object on it.
    spread : how much less, and more, than a click tells it may be on another stack.
    """

    click: float
    frame: float
    look: float
    spread: tuple[float, float]


_WINDOWS = Costs(click=0.1, frame=0.01, look=0.02, spread=(3.0, 3.0))


def _whole(encoding: float) -> Costs:
    """Return the costs of a published model: of all sizes the memory attention is the same."""
    return Costs(click=encoding + 0.1, frame=encoding, look=2.8, spread=(2.0, 2.0))


# Seconds to encode a frame of 1024 px on two cores of a CPU.
_COSTS = {"tiny": 1.9, "small": 2.5, "base_plus": 5.0, "large": 12.0}


def costs_of(name: str, windowed: bool = False) -> Costs | None:
    """Return the costs of a model by the name of its configuration; None if it is not known."""
    if name == "micro":
        return _WINDOWS
    size = next((size for size in _COSTS if name.endswith(size)), None)
    return None if size is None or windowed else _whole(_COSTS[size])


@dataclass(frozen=True)
class Ran:
    """A propagation that was measured: frames, objects looked at on all of them, seconds."""

    frames: int
    looks: int
    seconds: float

    def scale(self, costs: Costs) -> float:
        """Return by what factor it was slower than the costs say."""
        return self.seconds / (self.frames * costs.frame + self.looks * costs.look)


@dataclass
class Watch:
    """Seconds that pass, but for rests."""

    clock: Clock
    seconds: float = 0.0
    frames: int = 0
    _since: float = 0.0

    def __post_init__(self) -> None:
        self._since = self.clock()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Do not count what happens; a frame is done."""
        self.frames += 1
        self.seconds += self.clock() - self._since
        try:
            yield
        finally:
            self._since = self.clock()


@dataclass
class Pace:
    """What is known of the speed of one model on one device.

    Parameters
    ----------
    key : model and device.
    costs : that propagations are compared by.
    earlier : runs of other sessions, the newest last.
    clock : returns seconds.
    """

    key: str
    costs: Costs
    earlier: list[Ran] = field(default_factory=list)
    clock: Clock = time.perf_counter
    runs: list[Ran] = field(default_factory=list)
    clicks: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, session: Any) -> Pace:
        """Begin with what was measured before; reads a small file."""
        model = session.model
        windowed = session.policy.attention == "windowed"
        costs = costs_of(model.config.name, windowed) or _WINDOWS
        key = f"{model.config.name}, {session.policy.attention or 'as usual'}, {model.device}"
        return cls(key, costs, read_runs().get(key, []))

    @contextmanager
    def watching(self, session: Any, step: Step) -> Iterator[Watch]:
        """Measure a step, if it is one that tells something."""
        looks = _looks(session, step)
        watch = Watch(self.clock)
        try:
            yield watch
        finally:
            if looks is not None and watch.frames >= _LEAST_FRAMES:
                self.note(Ran(watch.frames, int(sum(looks[: watch.frames])), watch.seconds))
            elif watch.frames and _is_first_click(step):
                self.clicks.append(watch.seconds)

    def note(self, run: Ran) -> None:
        """Keep a run, also for other sessions."""
        if run.seconds <= 0 or not run.looks:
            return
        self.runs = [*self.runs, run][-_MOST_RUNS:]
        every = {**read_runs(), self.key: [*self.earlier, *self.runs][-_MOST_RUNS:]}
        _write_runs(every)

    def seconds(self, frames: int, looks: int) -> tuple[float, float] | None:
        """Return the least and the most that a propagation will take; None if nothing is known.

        Both are the same once this session has followed objects. Before, runs on other stacks and
        the clicks on this one tell, best together.
        """
        plain = frames * self.costs.frame + looks * self.costs.look
        if self.runs:
            scale = _middle([run.scale(self.costs) for run in self.runs[-3:]])
            return plain * scale, plain * scale
        scales = [run.scale(self.costs) for run in self.earlier[-3:]]
        told = [_middle(scales)] if scales else []
        if self.clicks:
            told.append(_middle(self.clicks) / self.costs.click)
        if not told:
            return None
        likely = plain * statistics.geometric_mean(told)
        less, more = (_BOTH, _BOTH) if len(told) == 2 else self.costs.spread
        return likely / less, likely * more


def _middle(numbers: list[float]) -> float:
    return statistics.median(numbers)


def _is_first_click(step: Step) -> bool:
    prompt = step.prompt if isinstance(step, SetPrompt) else None
    return (
        prompt is not None
        and prompt.thin is None
        and prompt.box is None
        and (len(prompt.points) == 1)
    )


def _looks(session: Any, step: Step) -> list[int] | None:
    """Return how many objects a propagation looks at on each frame; None for other steps."""
    if isinstance(step, PropagateAndFind):
        return None  # most of the time may go into finding
    if isinstance(step, Propagate):
        found = session.workload(step.direction, step.start, step.stop, step.object_ids)
    elif isinstance(step, Repair):
        found = session.repair_workload(step.object_ids)
    else:
        return None
    return [int(n) for n in found.looks]


def frame_seconds(name: str, runs: Mapping[str, list[Ran]]) -> float | None:
    """Return the seconds that a frame with one object takes a model on this computer.

    Of several devices the fastest; None where no propagation was ever measured.
    """
    costs = costs_of(name)
    some = [found for key, found in runs.items() if key.split(",")[0] == name and found]
    if costs is None or not some:
        return None
    scales = [_middle([run.scale(costs) for run in found]) for found in some]
    return min(scales) * (costs.frame + costs.look)


def _file() -> Path:
    return user_cache_path("napari-sam2", appauthor=False) / _FILE


def read_runs() -> dict[str, list[Ran]]:
    """Read the runs of earlier sessions by model and device; none, if the file is damaged."""
    try:
        content = json.loads(_file().read_text(encoding="utf-8"))
        return {
            str(key): [Ran(int(f), int(n), float(s)) for f, n, s in runs if f and n and s > 0]
            for key, runs in content["runs"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        logger.debug("no earlier runs: %s", error)
        return {}


def _write_runs(runs: Mapping[str, list[Ran]]) -> None:
    content = {key: [[r.frames, r.looks, r.seconds] for r in some] for key, some in runs.items()}
    path = _file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished:
            unfinished.write_text(json.dumps({"version": 1, "runs": content}), encoding="utf-8")
    except OSError as error:  # it is only for convenience
        logger.debug("the run was not noted: %s", error)
