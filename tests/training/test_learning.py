from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy.ndimage import distance_transform_edt, gaussian_filter

from napari_sam2.model.checkpoint import build_model, read_recipe
from napari_sam2.model.mask_decoder import DecoderOutput
from napari_sam2.model.prompt_encoder import BOX_START, NEGATIVE, PADDING, POSITIVE
from napari_sam2.tracking.errors import InputError
from napari_sam2.tracking.windows import suitable_zoom
from napari_sam2.training.annotators import corrections, first_prompts
from napari_sam2.training.auxiliary import DenseHead, belonging
from napari_sam2.training.batches import (
    BatchConfig,
    _magnification,
    _redrawn,
    make_batch,
)
from napari_sam2.training.fit import TrainConfig, Trainer, learning_rate, plan_steps, train
from napari_sam2.training.losses import frame_loss, hard_iou
from napari_sam2.training.magnifying import Magnification, magnified
from napari_sam2.training.steps import _centres, clip_step, image_step, prepare
from napari_sam2.training.synthetic import Clip
from tests.tracking.toy import TOY, toy_model

SMALL = BatchConfig(pixels=2 * 64 * 64, sizes=(64,), weights=(1.0,), objects=3, clip_length=(3, 3))


def recipe(out, **changes) -> TrainConfig:
    values = {
        "out": out, "steps": 4, "warm_images": 2, "clip_share": 1.0, "warmup": 1, "workers": 0,
        "save_every": 2, "half": False, "batch": SMALL, "model": TOY, **changes,
    }  # fmt: skip
    return TrainConfig(**values)


def test_batches_depend_on_seed_and_number_alone():
    a, b = make_batch(SMALL, 3, clips=True), make_batch(SMALL, 3, clips=True)
    assert torch.equal(a.images, b.images)
    assert torch.equal(a.ids, b.ids)
    other = make_batch(dataclasses.replace(SMALL, seed=1), 3, clips=True)
    assert a.images.shape != other.images.shape or not torch.equal(a.images, other.images)
    assert a.masks(0).flatten(1).any(1).all()
    assert len(a.owner) == len(a.ids)


def test_resuming_gives_the_weights_of_an_unbroken_run(tmp_path, monkeypatch):
    whole = train(recipe(tmp_path / "whole"))
    part = recipe(tmp_path / "part")
    save = Trainer.save

    def crash_after_saving(trainer):
        save(trainer)
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "save", crash_after_saving)
    with pytest.raises(KeyboardInterrupt):
        train(part)
    monkeypatch.undo()
    resumed = build_model(train(dataclasses.replace(part, resume=True))).state_dict()
    for name, value in build_model(whole).state_dict().items():
        assert torch.allclose(value, resumed[name], atol=1e-3), name


def test_the_shipped_file_carries_its_recipe_and_the_log_its_curve(tmp_path):
    weights = train(recipe(tmp_path, seed=5))
    kept = read_recipe(weights)
    assert kept["seed"] == 5
    assert kept["step"] == 4
    assert kept["batch"]["objects"] == 3
    assert kept["commit"]
    assert build_model(weights).config == TOY
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 4
    assert np.isfinite(lines[-1]["loss"])


def test_clips_come_after_the_single_frames(tmp_path):
    config = recipe(tmp_path, steps=100, warm_images=40, clip_share=0.5)
    plan = plan_steps(config)
    assert not any(plan[:40])
    assert 15 < sum(plan[40:]) < 45
    assert plan == plan_steps(config)


def test_the_rate_rises_stays_and_falls(tmp_path):
    config = recipe(tmp_path, steps=100, warmup=10, cooldown=20, rate=1.0)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert set(rates[10:80]) == {1.0}
    assert rates[80:] == pytest.approx(np.arange(20, 0, -1) / 20)


def test_crops_are_magnified_until_an_object_has_the_size_that_sessions_look_for():
    config = dataclasses.replace(
        SMALL, pixels=8 * 192 * 192, sizes=(192,), zoom_spread=0.0, searched=0.0
    )
    largest = []
    for number in range(6):
        batch = make_batch(config, number, clips=False)
        for labels in batch.labels[:, 0]:
            areas = np.bincount(labels.flatten().numpy())[1:]
            largest.append(np.sqrt(areas.max() / np.pi))
    assert np.median(largest) > 20
    assert min(largest) > 13


@pytest.mark.parametrize(("outward", "radius"), [(0.23, 12.3), (0.0, 10), (-0.23, 7.7)])
def test_outlines_move_and_neighbours_stay_apart(outward, radius):
    y, x = np.mgrid[:64, :64]
    labels = 3 * ((y - 32) ** 2 + (x - 16) ** 2 < 100) + 4 * ((y - 32) ** 2 + (x - 48) ** 2 < 100)
    clip = Clip(np.zeros((1, 64, 64), np.float32), labels[None].astype(np.int32), "test")
    redrawn = _redrawn(clip, outward).labels[0]
    for value in (3, 4):
        assert np.sqrt((redrawn == value).sum() / np.pi) == pytest.approx(radius, abs=0.7)
    assert redrawn.max() == 4


def test_some_single_frames_are_magnified_too_much_or_too_little():
    def drawn(searched, clips):
        config = dataclasses.replace(SMALL, zoom_spread=0.1, searched=searched)
        rng = np.random.default_rng(0)
        return [_magnification(rng, config, clips) for _ in range(2000)]

    assert 0.3 < np.mean([m.searched for m in drawn(0.35, clips=False)]) < 0.4
    octaves = np.log2([m.error for m in drawn(1.0, clips=False)])
    assert octaves.min() == pytest.approx(-3, abs=0.02)
    assert octaves.max() == pytest.approx(2.25, abs=0.02)
    for usual in (drawn(0.0, clips=False), drawn(1.0, clips=True)):
        assert not any(m.searched for m in usual)
        assert np.abs(np.log2([m.error for m in usual])).max() < 0.7


def disk_clip(side, centre, radius):
    y, x = np.mgrid[:side, :side]
    disk = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
    return Clip(np.stack([disk, disk]).astype(np.float32), np.stack([disk, disk]) * 7, "test")


def test_a_magnified_clip_keeps_its_labels_and_what_they_lie_on():
    view = magnified(disk_clip(64, (40, 20), 6), np.random.default_rng(0), Magnification(1.0), 64)
    assert view.images.shape == view.labels.shape == (2, 64, 64)
    assert set(np.unique(view.labels)) == {0, 7}
    inside = view.labels[0] == 7
    assert np.sqrt(inside.sum() / np.pi) == pytest.approx(6 * suitable_zoom(6), rel=0.1)
    assert view.images[0][inside].mean() > 0.9
    assert view.images[0][~inside].mean() < 0.1


def test_a_search_shows_specks_and_objects_that_are_cut_off():
    speck = Magnification(2.0**-2.5, searched=True)
    side = speck.source(128)
    assert side == 512
    view = magnified(disk_clip(side, (250, 250), 16), np.random.default_rng(0), speck, 128)
    assert view.labels.shape == (2, 128, 128)
    assert np.sqrt((view.labels[0] == 7).sum() / np.pi) == pytest.approx(4, abs=0.4)
    assert view.images.sum() == pytest.approx((view.labels > 0).sum(), rel=0.1)  # not aliased
    huge = magnified(
        disk_clip(128, (64, 64), 40), np.random.default_rng(0), Magnification(4.0, True), 128
    )
    assert (huge.labels > 0).mean() > 0.9


@pytest.mark.parametrize("clips", [False, True])
def test_every_part_that_is_used_gets_a_gradient(clips):
    model = prepare(toy_model(), None).train().requires_grad_(True)
    head = DenseHead(TOY.hidden)
    for number in range(4):
        batch = make_batch(SMALL, number, clips)
        step = clip_step if clips else image_step
        step(model, head, batch, np.random.default_rng(number)).loss.backward()
    unused = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is None}
    unused -= {"prompt_encoder"}  # its token for 'no mask' is for tracking
    expected = {"no_memory_position"}
    if not clips:
        expected |= {
            "memory_encoder", "memory_attention", "memory_times", "mask_downsample",
            "pointer_proj", "pointer_time_proj", "no_object_pointer", "absent_memory",
        }  # fmt: skip
    assert unused <= expected


def test_a_step_lowers_the_loss_on_its_own_batch():
    model = prepare(toy_model(), None).train().requires_grad_(True)
    head = DenseHead(TOY.hidden)
    optimizer = torch.optim.AdamW([*model.parameters(), *head.parameters()], 2e-3)
    batch = make_batch(SMALL, 0, clips=False)
    losses = []
    for _ in range(15):
        loss = image_step(model, head, batch, np.random.default_rng(1)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]


def test_a_perfect_mask_costs_less_than_a_wrong_one():
    truth = torch.zeros(1, 16, 16)
    truth[0, 4:10, 5:11] = 1
    right = (truth * 20 - 10)[:, None].expand(1, 4, 16, 16)

    def loss(logits, iou):
        output = DecoderOutput(
            logits, torch.full((1, 4), iou), torch.zeros(1, 4, 8), torch.ones(1), torch.zeros(0)
        )
        return frame_loss(output, truth, single=True)

    assert loss(right, 1.0).total < loss(-right, 1.0).total
    assert loss(right, 1.0).total < loss(right, 0.2).total
    assert float(loss(right, 1.0).iou) == 1.0
    assert hard_iou(-torch.ones(1, 4, 4), torch.zeros(1, 4, 4)) == 1


def test_simulated_annotators_stay_on_the_object():
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 50), bool)
    mask[10:25, 12:40] = True
    for kind in ("click", "clicks"):
        points, labels = first_prompts([mask], rng, kind)
        for (x, y), label in zip(points[0].tolist(), labels[0].tolist(), strict=True):
            assert label == PADDING or mask[round(y), round(x)]
    points, labels = first_prompts([mask], rng, "box")
    assert labels[0, 0] == BOX_START
    assert torch.allclose(points[0], torch.tensor([[12.0, 10.0], [39.0, 24.0]]), atol=5)
    truth = torch.zeros(2, 16, 16)
    truth[:, 4:12, 4:12] = 1
    shown = torch.stack([truth[0] * 2 - 1, torch.ones(16, 16)])
    points, labels = corrections(shown, truth, rng)
    assert labels[0, 0] == PADDING
    assert labels[1, 0] == NEGATIVE
    empty, labels = corrections(-torch.ones(1, 16, 16), truth[:1], rng)
    assert labels[0, 0] == POSITIVE
    assert 16 <= float(empty[0, 0, 0]) < 48


def test_corrections_lie_in_the_middle_of_the_largest_error():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2, 60, 32, 32))
    truth, shown = (gaussian_filter(x, (0, 3, 3)) > 0.05 for x in noise)
    points, labels = corrections(
        torch.from_numpy(shown * 2.0 - 1), torch.from_numpy(truth.astype(np.float32)), rng
    )
    places = (((points[:, 0] - 1.5) / 4).round().long().clamp(0, 31)).tolist()
    share = []
    for real, found, (x, y), label in zip(truth, shown, places, labels[:, 0].tolist(), strict=True):
        missed, extra = (np.pad(m, 1) for m in (real & ~found, found & ~real))
        depths = {
            POSITIVE: distance_transform_edt(missed)[1:-1, 1:-1],
            NEGATIVE: distance_transform_edt(extra)[1:-1, 1:-1],
        }
        share.append(depths[label][y, x] / max(d.max() for d in depths.values()))
    assert np.mean(share) > 0.9
    assert np.min(share) > 0.6


def test_masks_are_displaced_about_their_centre():
    mask = torch.zeros(2, 32, 32)
    mask[0, 4:8, 20:28] = 1
    np.testing.assert_allclose(_centres(mask > 0), [[16 / 32, -20 / 32], [0, 0]], atol=1e-6)


def test_larger_batches_take_fewer_steps(tmp_path):
    config = recipe(tmp_path, steps=800, warm_images=80, cooldown=40, rate=1e-3)
    larger = config.larger(4)
    assert (larger.steps, larger.warm_images, larger.cooldown) == (200, 20, 10)
    assert larger.rate == pytest.approx(2e-3)
    one, four = (make_batch(c.batch, 0, clips=False) for c in (config, larger))
    assert len(four.images) == 4 * len(one.images)
    assert config.larger(1) == config
    with pytest.raises(InputError, match="800 steps are too few"):
        config.larger(801)


def test_belonging_tells_apart_neighbours():
    labels = torch.zeros(1, 12, 12, dtype=torch.int32)
    labels[0, 2:6, 2:6] = 1
    labels[0, 6:10, 2:6] = 2
    target, known = belonging(labels)
    assert target[0, 0].sum() == 32
    below, right = target[0, 1], target[0, 2]
    assert below[4, 3] == 1
    assert below[5, 3] == 0  # the pixel below is another object
    assert right[4, 5] == 0
    assert known[0, 1, -1].sum() == 0
