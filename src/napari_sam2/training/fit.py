"""The fitting loop: single frames first, clips with memory after; seeded, logged, resumable."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_sam2 import __version__
from napari_sam2.model.checkpoint import save_model
from napari_sam2.model.config import MICRO, ModelConfig
from napari_sam2.model.sam2 import SAM2
from napari_sam2.replacing import replacing
from napari_sam2.tracking.errors import InputError
from napari_sam2.training.auxiliary import DenseHead
from napari_sam2.training.batches import Batch, BatchConfig, batches
from napari_sam2.training.losses import SCORE_SHIFT
from napari_sam2.training.optimizer import Optimizer
from napari_sam2.training.steps import clip_step, image_step, prepare, shift_score


@dataclass(frozen=True)
class TrainConfig:
    """A recipe.

    Parameters
    ----------
    out : folder for checkpoints, the log and the final weights.
    steps : optimiser steps.
    warm_images : steps with single frames only, before clips come in.
    clip_share : part of the later steps that are clips.
    rate, warmup, cooldown, decay : the learning rate rises for `warmup` steps, stays, and falls to
        nothing over the last `cooldown` steps; a run can so be prolonged from a checkpoint that
        lies before them.
    averaging : decay of the moving average of the weights, which is what is saved.
    seed, device, workers : of the run; workers make data.
    resume : go on from the checkpoint in `out`.
    save_every : steps between checkpoints.
    half : compute in bfloat16 where that is safe.
    init : weights to start from, instead of random ones.
    batch : how batches are made.
    model : the variant.
    """

    out: Path
    steps: int = 48_000
    warm_images: int = 6_000
    clip_share: float = 0.5
    rate: float = 6e-4
    warmup: int = 200
    cooldown: int = 4_000
    decay: float = 0.02
    averaging: float = 0.998
    seed: int = 0
    device: str = "cpu"
    workers: int = 1
    resume: bool = False
    save_every: int = 200
    half: bool = False
    init: Path | None = None
    batch: BatchConfig = field(default_factory=BatchConfig)
    model: ModelConfig = MICRO

    def larger(self, times: int) -> TrainConfig:
        """Return the recipe for batches that are so many times larger, in as many fewer steps.

        The rate grows with the root of the number, because what limits late training is the noise
        of small batches. For the same reason the average goes on over as many steps as before.

        Raises
        ------
        InputError
            If no step would be left.
        """
        if self.steps < times:
            raise InputError(
                f"{self.steps} steps are too few for batches that are {times} times larger; give "
                f"{times} or more"
            )
        return dataclasses.replace(
            self,
            steps=self.steps // times,
            warm_images=self.warm_images // times,
            cooldown=self.cooldown // times,
            rate=self.rate * math.sqrt(times),
            batch=dataclasses.replace(self.batch, times=times),
        )

    def recipe(self) -> dict[str, Any]:
        """Return plain values for the metadata of the weights."""
        values = dataclasses.asdict(self)
        values["out"] = values["out"].name
        values["init"] = self.init.name if self.init else None
        values["batch"]["real"] = [Path(p).name for p in self.batch.real]
        del values["model"], values["resume"], values["device"], values["workers"]
        return {**values, "commit": _commit()}


def _commit() -> str:
    """Return the commit of the source that trains, or its version outside of a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        found = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
        return found.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return f"napari-sam2 {__version__}"


def plan_steps(config: TrainConfig) -> list[bool]:
    """Decide, from the seed, which steps are clips (True) and which single frames."""
    draws = np.random.default_rng([config.seed, 17]).random(config.steps)
    later = np.arange(config.steps) >= config.warm_images
    return [bool(x) for x in later & (draws < config.clip_share)]


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, a plateau, and a linear way down."""
    rising = (step + 1) / max(1, config.warmup)
    falling = (config.steps - step) / max(1, config.cooldown)
    return config.rate * min(1.0, rising, falling)


class Trainer:
    """Model, average, optimiser and their checkpoint."""

    def __init__(self, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.device = torch.device(config.device)
        self.model = prepare(SAM2(config.model), config.init).to(self.device)
        self.head = DenseHead(config.model.hidden).to(self.device)
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.optimizer = Optimizer([self.model, self.head], config.decay)
        self.step = 0
        self.checkpoint = config.out / "checkpoint.pt"
        if config.resume:
            self.load()

    def parameters(self) -> list[Tensor]:
        """All that is learnt: the model and the head of its side task."""
        return [*self.model.parameters(), *self.head.parameters()]

    def load(self) -> None:
        """Go on from the last checkpoint.

        Raises
        ------
        InputError
            If there is none.
        """
        if not self.checkpoint.exists():
            raise InputError(
                f"{self.config.out} holds no training run to go on with; check --out, or leave out "
                "--resume"
            )
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.head.load_state_dict(state["head"])
        self.average = state["average"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def save(self) -> None:
        """Write a checkpoint, and the average as weights that can be used."""
        state = {
            "model": self.model.state_dict(),
            "head": self.head.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }
        with replacing(self.checkpoint) as unfinished:
            torch.save(state, unfinished)
        averaged = SAM2(self.config.model)
        averaged.load_state_dict(self.average)
        shift_score(averaged, SCORE_SHIFT)
        recipe = {**self.config.recipe(), "step": self.step}
        with replacing(self.config.out / "weights.safetensors") as unfinished:
            save_model(averaged, unfinished, recipe)

    def fit(self, batch: Batch, clip: bool) -> dict[str, float]:
        """Take one step."""
        config = self.config
        rng = np.random.default_rng([config.seed, 29, self.step])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.half):
            result = (clip_step if clip else image_step)(self.model, self.head, batch, rng)
        self.optimizer.forget()
        result.loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimizer.step(learning_rate(config, self.step))
            self._update_average()
        self.step += 1
        return {"loss": float(result.loss.detach()), "norm": float(norm), **result.scores}

    def _update_average(self) -> None:
        keep = min(self.config.averaging, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            for name, value in self.model.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)


@contextmanager
def _tensor_cores(device: torch.device) -> Iterator[None]:
    """Let a GPU multiply in TF32 meanwhile; what is tracked afterwards is as exact as before."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    keys = {key for row in rows for key in row}
    return {k: round(float(np.mean([r[k] for r in rows if k in r])), 4) for k in sorted(keys)}


def train(
    config: TrainConfig,
    report: Callable[[dict[str, float]], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Train, and return the path of the weights.

    Parameters
    ----------
    config : the recipe.
    report : is called with the means of every 20 steps; they are also appended to
        `log.jsonl` in the output folder.
    progress : is called after each step with the steps done and in all.

    Notes
    -----
    Interrupting is safe: the last checkpoint is at most `save_every` steps old, and `resume`
    continues with the batches that would have come next.

    Raises
    ------
    InputError
        If there is nothing to resume.
    """
    trainer = Trainer(config)
    config.out.mkdir(parents=True, exist_ok=True)
    plan = plan_steps(config)
    seeded = dataclasses.replace(config.batch, seed=config.seed)
    rows: list[dict[str, float]] = []
    start = time.monotonic()
    with _tensor_cores(trainer.device):
        for batch in batches(seeded, plan, trainer.step, config.workers):
            rows.append(trainer.fit(batch.to(trainer.device), plan[trainer.step]))
            done = trainer.step == len(plan)
            if trainer.step % 20 == 0 or done:
                seconds = (time.monotonic() - start) / len(rows)
                line = {"step": trainer.step, **_mean(rows), "seconds": round(seconds, 3)}
                with (config.out / "log.jsonl").open("a", encoding="utf-8") as log:
                    log.write(json.dumps(line) + "\n")
                if report:
                    report(line)
                rows, start = [], time.monotonic()
            if trainer.step % config.save_every == 0 or done:
                trainer.save()
            if progress:
                progress(trainer.step, len(plan))
    return config.out / "weights.safetensors"
