"""The four verbs: shapes, batches, and windows against the whole frame."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from napari_sam2.model.config import MICRO, HieraConfig
from napari_sam2.model.positions import TokenGrid
from napari_sam2.model.prompt_encoder import PromptInputs
from napari_sam2.model.sam2 import SAM2
from napari_sam2.model.values import NO_OBJECT, ImageFeatures, Memory, Recollection

CONFIG = dataclasses.replace(
    MICRO,
    name="toy",
    trunk=HieraConfig(8, 1, (1, 1, 1, 1), (2,), (8, 4, 8, 4), (1, 1)),
    hidden=32,
    memory=8,
    memory_layers=2,
    memory_feedforward=32,
    decoder_feedforward=32,
    iou_hidden=16,
    drawn_prompts=False,
    carried_mask=False,
)


@pytest.fixture(scope="module")
def model() -> SAM2:
    torch.manual_seed(0)
    model = SAM2(CONFIG).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture(scope="module")
def features(model: SAM2) -> ImageFeatures:
    torch.manual_seed(1)
    return model.encode_image(torch.randn(1, 3, 96, 128))


def remembered(features: ImageFeatures, count: int, pointers: int = 3) -> Recollection:
    """Random memories of `count` objects on two frames, on the grid of `features`."""
    random = torch.Generator().manual_seed(2)
    h, w = features.grid.height, features.grid.width
    memories = [
        Memory(torch.randn(count, 8, h, w, generator=random), features.grid) for _ in range(2)
    ]
    return Recollection(
        memories,
        slots=(6, 0),
        pointers=torch.randn(count, pointers, 32, generator=random),
        times=torch.arange(1.0, 1.0 + pointers),
        horizon=15,
    )


def row(recollection: Recollection, i: int) -> Recollection:
    memories = [Memory(m.features[i : i + 1], m.grid) for m in recollection.memories]
    return dataclasses.replace(
        recollection, memories=memories, pointers=recollection.pointers[i : i + 1]
    )


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_maps_have_the_sizes_they_say(features: ImageFeatures) -> None:
    assert features.stride16.shape == (1, 32, 6, 8)
    assert features.stride8.shape == (1, 8, 12, 16)
    assert features.stride4.shape == (1, 4, 24, 32)
    assert features.grid == TokenGrid(6, 8)


def test_sizes_that_do_not_fit_are_refused(model: SAM2) -> None:
    with pytest.raises(ValueError, match="100 x 128 is not a multiple of 32"):
        model.encode_image(torch.zeros(1, 3, 100, 128))


def test_objects_in_a_batch_do_not_see_each_other(model: SAM2, features: ImageFeatures) -> None:
    both = remembered(features, 2)
    together = model.recall(features, both)
    predicted = model.predict_masks(together, features, None)
    memory = model.memorize(features, predicted.best_logits, predicted.object_score)
    for i in range(2):
        alone = model.recall(features, row(both, i))
        close(together[i : i + 1], alone)
        one = model.predict_masks(alone, features, None)
        close(predicted.logits[i : i + 1], one.logits)
        close(predicted.pointer[i : i + 1], one.pointer)
        kept = model.memorize(features, one.best_logits, one.object_score)
        close(memory.features[i : i + 1], kept.features)


def test_what_is_prepared_serves_all_objects(model: SAM2, features: ImageFeatures) -> None:
    both, prepared = remembered(features, 2), model.prepare(features)
    kept = prepared.clone()
    for known in (both, row(both, 0), row(both, 1)):
        with torch.no_grad():
            found = model.recall(features, known, prepared)
            assert torch.equal(found, model.recall(features, known))
    assert torch.equal(prepared, kept)


def test_memories_may_lie_on_several_grids(model: SAM2) -> None:
    """On one large grid keys are never made; with gradients they always are."""
    features = model.encode_image(torch.randn(1, 3, 32 * 14, 32 * 12))
    alike = remembered(features, 2)
    alike = dataclasses.replace(alike, memories=[*alike.memories] * 3, slots=(6, 0, 1, 2, 3, 4))
    first, *others = alike.memories
    moved = Memory(first.features, TokenGrid(28, 24, ((4, 6),)))
    mixed = dataclasses.replace(alike, memories=[moved, *others])
    for known in (alike, mixed):
        with torch.enable_grad():
            expected = model.recall(features, known)
        with torch.no_grad():
            close(model.recall(features, known), expected)
    assert (model.recall(features, alike) - expected).abs().max() > 1e-3


def test_order_of_memories_does_not_matter(model: SAM2, features: ImageFeatures) -> None:
    known = remembered(features, 1)
    turned = dataclasses.replace(
        known, memories=list(known.memories)[::-1], slots=tuple(known.slots)[::-1]
    )
    close(model.recall(features, known), model.recall(features, turned))
    swapped = dataclasses.replace(known, slots=(0, 6))
    difference = model.recall(features, known) - model.recall(features, swapped)
    assert difference.abs().max() > 1e-3, "the slots are ignored"


def test_a_window_over_the_whole_frame_changes_nothing(
    model: SAM2, features: ImageFeatures
) -> None:
    assert features.crop(TokenGrid(6, 8)) is features


def test_windows_are_cut_from_all_maps(features: ImageFeatures) -> None:
    windows = features.crop(TokenGrid(2, 3, ((0, 0), (4, 5))))
    for scale, whole, part in (
        (1, features.stride16, windows.stride16),
        (2, features.stride8, windows.stride8),
        (4, features.stride4, windows.stride4),
    ):
        assert part.shape[0] == 2
        assert torch.equal(part[0], whole[0, :, : 2 * scale, : 3 * scale])
        assert torch.equal(part[1], whole[0, :, 4 * scale :, 5 * scale :])


def test_windows_of_a_batch_are_those_of_each(model: SAM2, features: ImageFeatures) -> None:
    grid = TokenGrid(4, 4, ((0, 1), (2, 4)))
    windows = features.crop(grid)
    both = remembered(windows, 2)
    together = model.predict_masks(model.recall(windows, both), windows, None)
    for i, origin in enumerate(grid.origins):
        place = TokenGrid(4, 4, (origin,))
        window = features.crop(place)
        alone = row(both, i)
        moved = [Memory(m.features, place) for m in alone.memories]
        conditioned = model.recall(window, dataclasses.replace(alone, memories=moved))
        close(together.logits[i], model.predict_masks(conditioned, window, None).logits[0])


def test_place_matters(model: SAM2, features: ImageFeatures) -> None:
    window = features.crop(TokenGrid(4, 4, ((0, 1),)))
    elsewhere = dataclasses.replace(window, grid=TokenGrid(4, 4, ((2, 4),)))
    points = torch.tensor([[[40.0, 20.0]]])
    prompts = PromptInputs(points, torch.ones(1, 1, dtype=torch.long))
    here, there = (
        model.predict_masks(model.recall(w, None), w, prompts).iou for w in (window, elsewhere)
    )
    assert (here - there).abs().max() > 1e-5


def test_one_click_is_ambiguous_and_more_are_not(model: SAM2, features: ImageFeatures) -> None:
    first = model.recall(features, None)
    for count, masks in ((1, 3), (2, 1)):
        prompts = PromptInputs(torch.rand(2, count, 2) * 90, torch.ones(2, count).long())
        found = model.predict_masks(first, features, prompts)
        assert found.logits.shape == (2, masks, 24, 32)
        assert found.iou.shape == (2, masks)
        assert torch.equal(found.best_iou, found.iou.max(1).values)


def test_corrections_differ_only_where_clicks_contradict(model: SAM2) -> None:
    features = model.encode_image(torch.randn(1, 3, 96, 128))
    windows = features.crop(TokenGrid(4, 4, ((0, 1), (2, 4))))
    first = model.recall(windows, None)
    points = torch.tensor([[[30.0, 20.0], [60.0, 40.0]], [[70.0, 50.0], [110.0, 80.0]]])
    earlier = torch.randn(2, 1, 16, 16)
    prompts = PromptInputs(points, torch.ones(2, 2).long(), earlier)
    agreed = dataclasses.replace(prompts, mask=torch.ones(2, 1, 16, 16))
    close(model.correct_masks(first, windows, agreed).logits,
          model.predict_masks(first, windows, agreed).logits)  # fmt: skip
    nothing = dataclasses.replace(prompts, mask=-torch.ones(2, 1, 16, 16))
    bent = model.correct_masks(first, windows, nothing)
    plain = model.predict_masks(first, windows, nothing)
    for i, (row_, column) in enumerate(windows.grid.origins):
        cells = ((points[i] - 1.5) / 4 - 4 * torch.tensor([column, row_])).round().long()
        for x, y in cells.tolist():
            assert bent.logits[i, 0, y, x] > plain.logits[i, 0, y, x]
    assert torch.equal(bent.iou, plain.iou)


def test_absent_objects_leave_nothing(model: SAM2, features: ImageFeatures) -> None:
    absent = SAM2(CONFIG).eval().requires_grad_(False)
    absent.load_state_dict(model.state_dict())
    absent.mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(-50.0)
    found = absent.predict_masks(absent.recall(features, remembered(features, 2)), features, None)
    assert (found.logits == NO_OBJECT).all()
    assert torch.equal(found.pointer, absent.no_object_pointer.expand(2, -1))
    marked = absent.memorize(features, found.best_logits, found.object_score).features
    plain = absent.memorize(features, found.best_logits, -found.object_score).features
    close(marked - plain, absent.absent_memory.view(1, -1, 1, 1).expand_as(marked))


def test_drawn_masks_are_kept(model: SAM2, features: ImageFeatures) -> None:
    mask = torch.zeros(2, 1, 96, 128)
    mask[0, :, 32:64, 32:64] = 1
    found = model.adopt_masks(features, mask)
    assert torch.equal(found.best_logits > 0, mask[:, 0, ::4, ::4] > 0)
    assert found.object_score.tolist() == [10.0, -10.0]
    assert torch.equal(found.pointer[1], model.no_object_pointer)


def test_accepted_masks_are_remembered_as_binary(model: SAM2, features: ImageFeatures) -> None:
    logits, score = torch.full((1, 24, 32), 0.5), torch.ones(1)
    logits[:, :12] = -0.5
    accepted = model.memorize(features, logits, score, prompted=True).features
    sure = model.memorize(features, 100 * logits, score, prompted=True).features
    tracked = model.memorize(features, logits, score).features
    assert torch.equal(accepted, sure)
    assert (accepted - tracked).abs().max() > 1e-3
