from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from napari_sam2.training.motion import Habits, Population
from napari_sam2.training.scene import Scene
from napari_sam2.training.shapes import MARGIN, Canvas, Pose, draw_cell, outline_tables
from napari_sam2.training.synthetic import KINDS, make_clip
from napari_sam2.training.textures import TILE, tile
from napari_sam2.training.tissue import Tissue, TissueHabits


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_renders_images_and_labels(kind):
    for seed, z_stack in ((0, False), (1, True)):
        clip = make_clip(seed, 2, (72, 96), kind, z_stack)
        assert clip.images.shape == clip.labels.shape == (2, 72, 96)
        assert clip.images.dtype == np.float32
        assert clip.labels.dtype == np.int32
        assert np.isfinite(clip.images).all()
        assert clip.images.min() >= 0
        assert clip.images.max() <= 1
        assert clip.images.std() > 0.004
        assert clip.labels.min() >= 0
        assert np.bincount(clip.labels[0].ravel())[1:].max() >= 100
        assert clip.kind == kind


def test_the_same_seed_gives_the_same_clip_and_another_seed_another():
    first, again, other = (make_clip(seed, 3, (64, 64)) for seed in (8, 8, 9))
    np.testing.assert_array_equal(first.images, again.images)
    np.testing.assert_array_equal(first.labels, again.labels)
    assert first.kind == again.kind
    assert not np.array_equal(first.images, other.images)


def test_a_longer_clip_begins_with_the_same_cells():
    short, long = make_clip(5, 1, (96, 96), "nuclei"), make_clip(5, 4, (96, 96), "nuclei")
    np.testing.assert_array_equal(short.labels[0], long.labels[0])


def test_kinds_and_ids_vary_over_seeds():
    clips = [make_clip(seed, 1, (64, 64)) for seed in range(40)]
    assert len({clip.kind for clip in clips}) >= 6
    assert max(len(np.unique(clip.labels)) for clip in clips) > 8


@pytest.mark.parametrize("kind", ["nuclei", "adherent", "colony", "tissue", "organelles"])
def test_objects_move_smoothly(kind):
    overlaps = []
    for seed in range(6):
        labels = make_clip(seed, 4, (96, 96), kind).labels
        for now, then in pairwise(labels):
            for i in np.intersect1d(now[now > 0], then[then > 0]):
                a, b = now == i, then == i
                if a.sum() > 60 and b.sum() > 60:
                    overlaps.append((a & b).sum() / (a | b).sum())
    assert np.mean(np.array(overlaps) > 0.3) > 0.9
    assert min(overlaps) < 0.99


def _population(**habits):
    return Population(np.random.default_rng(1), Habits(**habits), (128, 128))


def test_a_division_ends_the_mother_and_starts_two_new_ids():
    cells = _population(radius=12, count=6, division=1.0)
    before = {pose.number for pose in cells.poses()}
    cells.step()
    after = {pose.number for pose in cells.poses()}
    assert before.isdisjoint(after)
    assert len(after) == 2 * len(before)
    for mother in before:
        assert sorted(cells.parents.values()).count(mother) == 2


def test_daughters_lie_where_their_mother_was():
    cells = _population(radius=14, count=1, division=1.0, speed=0.0, roughness=0.0)
    masks = []
    for _ in range(2):
        canvas = Canvas.empty((128, 128))
        for pose in cells.poses():
            draw_cell(canvas, pose, on_top=False)
        masks.append(canvas.cells)
        cells.step()
    mother, daughters = masks
    assert len(np.unique(daughters[daughters > 0])) == 2
    assert ((mother > 0) & (daughters > 0)).sum() > 0.6 * (mother > 0).sum()


def test_a_bud_leaves_its_mother_alive():
    cells = _population(radius=10, count=4, budding=1.0)
    before = {pose.number for pose in cells.poses()}
    cells.step()
    after = {pose.number for pose in cells.poses()}
    assert before < after
    assert len(after) == 2 * len(before)


def test_the_dead_are_gone_and_their_numbers_are_not_used_again():
    cells = _population(count=5, death=1.0)
    cells.step()
    assert cells.poses() == []


def test_clips_name_the_parents_of_the_divided():
    for seed in range(60):
        clip = make_clip(seed, 6, (96, 96), "nuclei", z_stack=False)
        if clip.parents:
            break
    assert clip.parents
    for child, mother in clip.parents.items():
        shown = np.flatnonzero((clip.labels == mother).any((1, 2)))
        born = np.flatnonzero((clip.labels == child).any((1, 2)))
        if len(shown) and len(born):
            assert shown.max() < born.min()


def test_cells_of_a_z_stack_grow_and_shrink():
    cells = _population(radius=15, count=1, z_step=0.2)
    areas = []
    for _ in range(12):
        areas.append(sum(pose.radius**2 for pose in cells.poses()))
        cells.step()
    assert areas[-1] == 0
    assert max(areas) > 0


def test_ghosts_are_drawn_but_not_labelled():
    cells = _population(count=12, ghosts=0.5)
    scene = Scene(np.random.default_rng(0), (128, 128), cells, lambda scene, traits: None)
    names = scene.names()
    assert 0 < cells.ghost.sum() < len(cells.ghost)
    drawn = {pose.number for pose in cells.poses()}
    for number, ghost in enumerate(cells.ghost, start=1):
        assert number in drawn
        assert names[number] == (0 if ghost else number)


def test_a_disc_has_its_area_and_its_depth():
    canvas = Canvas.empty((101, 101))
    table = outline_tables(np.zeros((1, 24), np.float32), np.zeros((1, 256), np.float32))[0]
    draw_cell(canvas, Pose(7, 50, 50, 0.3, 20, 1, 0, 0, table), on_top=True)
    inside = canvas.cells == 7
    assert inside.sum() == pytest.approx(np.pi * 400, rel=0.02)
    assert canvas.depth[50, 60] == pytest.approx(10, abs=1)
    assert canvas.depth[50, 75] == pytest.approx(-5, abs=1)
    assert canvas.depth.min() >= -MARGIN
    assert (canvas.depth[inside] > 0).all()


def test_a_cell_outside_of_the_frame_draws_nothing():
    canvas = Canvas.empty((40, 40))
    table = np.ones(256, np.float32)
    draw_cell(canvas, Pose(1, -200, 20, 0, 10, 1, 0, 0, table), on_top=True)
    assert not canvas.cells.any()


@pytest.mark.parametrize("z_step", [0.0, 0.15])
def test_tissue_fills_the_frame_and_keeps_its_ids(z_step):
    tissue = Tissue(np.random.default_rng(0), TissueHabits(z_step=z_step), (100, 120))
    seen = []
    for _ in range(3):
        canvas = Canvas.empty((100, 120))
        tissue.draw(canvas)
        seen.append(canvas.cells)
        tissue.step()
    assert np.mean(seen[0] > 0) > 0.999
    assert np.mean(seen[0] == seen[1]) > 0.6


def test_tiles_wrap_and_do_not_depend_on_the_process():
    smooth = tile("smooth", 4)
    assert smooth.shape == (TILE, TILE)
    assert np.abs(smooth[0] - smooth[-1]).mean() < 2 * np.abs(np.diff(smooth, axis=0)).mean()
    assert smooth.std() == pytest.approx(1, abs=0.01)
    with pytest.raises(ValueError, match="unknown texture"):
        tile("marble", 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "galaxies"}, "unknown kind"),
        ({"frames": 0}, "needs frames"),
        ({"size": (0, 64)}, "needs frames and pixels"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_clip(0, **arguments)
