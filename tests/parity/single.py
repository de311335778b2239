"""Single calls of the four verbs beside the reference's methods, on the same tensors.

Every case takes a pair and returns the differences; `test_verbs.py` runs them on a small frame,
`test_variants.py` on all published variants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from oracle import Differences, Pair, heads_output, prompt_heads, reference_features, shift_scores
from torch import Tensor

from napari_sam2.model.mask_decoder import choose_single, stability
from napari_sam2.model.prompt_encoder import BOX_END, BOX_START, NEGATIVE, POSITIVE, PromptInputs
from napari_sam2.model.values import ImageFeatures, MaskPrediction, Memory, Recollection

Case = Callable[["Frame"], Differences]


class Frame:
    """One random frame, encoded by both sides."""

    def __init__(self, pair: Pair, seed: int = 1) -> None:
        self.pair = pair
        self.random = torch.Generator().manual_seed(seed)
        size = (pair.size, pair.size)
        coarse = torch.randn(1, 3, 16, 16, generator=self.random)
        image = F.interpolate(coarse, size, mode="bicubic")
        self.image = image + 0.3 * torch.randn(1, 3, *size, generator=self.random)
        self.theirs = reference_features(pair.reference, self.image)
        self.ours: ImageFeatures = pair.model.encode_image(self.image)

    def points(self, count: int, batch: int = 8) -> Tensor:
        """Random places (batch, count, 2), (x, y)."""
        return self.pair.size * torch.rand(batch, count, 2, generator=self.random)

    def boxes(self, batch: int = 8) -> Tensor:
        """Random boxes (batch, 2, 2), (x, y), upper left first."""
        return self.points(2, batch).sort(dim=1).values


def encoder(frame: Frame) -> Differences:
    """All three maps of the image encoder."""
    found = Differences()
    ours = (frame.ours.stride4, frame.ours.stride8, frame.ours.stride16)
    for mine, theirs in zip(ours, frame.theirs.maps, strict=True):
        found.add("features", mine, theirs)
    return found


def click(frame: Frame) -> Differences:
    """One click: three masks."""
    return _prompted(frame, frame.points(1), [POSITIVE])


def clicks(frame: Frame) -> Differences:
    """Three clicks of mixed sign: one mask."""
    return _prompted(frame, frame.points(3), [POSITIVE, NEGATIVE, POSITIVE])


def box(frame: Frame) -> Differences:
    """A box."""
    return _prompted(frame, frame.boxes(), [BOX_START, BOX_END])


def box_click(frame: Frame) -> Differences:
    """A box and a click."""
    points = torch.cat([frame.boxes(), frame.points(1)], dim=1)
    return _prompted(frame, points, [BOX_START, BOX_END, NEGATIVE])


def refinement(frame: Frame) -> Differences:
    """Two clicks on top of an earlier mask's logits."""
    side = frame.pair.size // 4
    earlier = 8 * torch.randn(8, 1, side // 8, side // 8, generator=frame.random)
    earlier = F.interpolate(earlier, (side, side), mode="bilinear").clamp(-32, 32)
    return _prompted(frame, frame.points(2), [POSITIVE, NEGATIVE], earlier)


def _prompted(
    frame: Frame, points: Tensor, kinds: list[int], earlier: Tensor | None = None
) -> Differences:
    found = Differences()
    labels = torch.tensor(kinds).expand(len(points), -1)

    def theirs(i: int) -> dict[str, Tensor]:
        row = slice(i, i + 1)
        before = None if earlier is None else earlier[row]
        return prompt_heads(
            frame.pair.reference, frame.theirs, points[row], labels[row].int(), before
        )

    # Half of the objects have to be absent, for the case to mean anything.
    scores = torch.cat([theirs(i)["score"] for i in range(len(points))])
    shift_scores(frame.pair, -scores.sort().values[3:5].mean())
    conditioned = frame.pair.model.recall(frame.ours, None)
    prompts = PromptInputs(points, labels, earlier)
    ours = frame.pair.model.predict_masks(conditioned, frame.ours, prompts)
    for i in range(len(points)):
        _compare(found, ours, theirs(i), i)
    assert 0 < (ours.object_score > 0).sum() < len(points)
    return found


def _compare(found: Differences, ours: MaskPrediction, theirs: dict[str, Tensor], i: int) -> None:
    found.add("logits", ours.logits[i], theirs["logits"][0])
    found.add("logits", ours.best_logits[i], theirs["best"][0])
    found.add("IoU", ours.iou[i], theirs["iou"][0])
    found.add("score", ours.object_score[i], theirs["score"][0])
    found.add("pointer", ours.pointer[i], theirs["pointer"][0])
    found.add_labels(ours.best_logits[i] > 0, theirs["best"][0] > 0)


def stability_fallback(frame: Frame) -> Differences:
    """The single mask gives way where it is unstable: here, where its logits are scaled down."""
    found = Differences()
    model, decoder = frame.pair.model, frame.pair.reference.sam_mask_decoder
    prompts = PromptInputs(frame.points(2), torch.ones(8, 2, dtype=torch.long))
    conditioned = model.recall(frame.ours, None).expand(8, -1, -1, -1)
    output, _ = model.decode_all(conditioned, frame.ours, prompts)
    factors = torch.tensor([20.0, 0.02] * 4)[:, None, None, None]
    shrunk = replace(output, logits=output.logits * factors)
    logits, iou = decoder._dynamic_multimask_via_stability(shrunk.logits, shrunk.iou)
    chosen = choose_single(shrunk)
    rows = torch.arange(8)
    assert (chosen == 0).any()
    assert (chosen > 0).any()
    found.add("logits", shrunk.logits[rows, chosen], logits[:, 0])
    found.add("IoU", shrunk.iou[rows, chosen], iou[:, 0])
    found.add(
        "stability",
        stability(shrunk.logits[:, 0]),
        decoder._get_stability_scores(shrunk.logits[:, :1])[:, 0],
    )
    return found


def mask(frame: Frame) -> Differences:
    """Masks taken as they are; one of them empty."""
    found = Differences()
    size = frame.pair.size
    drawn = torch.randn(4, 1, size // 32, size // 32, generator=frame.random)
    drawn = (F.interpolate(drawn, (size, size), mode="bilinear") > 0.3).float()
    drawn[3] = 0
    *fine, coarse = frame.theirs.maps
    ours = frame.pair.model.adopt_masks(frame.ours, drawn)
    for i in range(4):
        out = frame.pair.reference._use_mask_as_output(coarse, fine, drawn[i : i + 1])
        _compare(found, ours, heads_output(out), i)
    return found


def memorize(frame: Frame) -> Differences:
    """Memories of tracked and of prompted masks, the object present or absent."""
    found = Differences()
    side = frame.pair.size // 4
    logits = 6 * torch.randn(4, side // 8, side // 8, generator=frame.random)
    logits = F.interpolate(logits[:, None], (side, side), mode="bilinear")[:, 0]
    logits[3] = -1024.0
    scores = torch.tensor([2.0, -1.0, 0.5, -3.0])
    high = F.interpolate(logits[:, None], 2 * (frame.pair.size,), mode="bilinear")
    for prompted in (False, True):
        ours = frame.pair.model.memorize(frame.ours, logits, scores, prompted)
        for i in range(4):
            theirs, _places = frame.pair.reference._encode_new_memory(
                frame.theirs.sequences,
                frame.theirs.sizes,
                high[i : i + 1],
                scores[i : i + 1, None],
                is_mask_from_pts=prompted,
            )
            found.add("memory", ours.features[i], theirs[0])
    return found


def recall(frame: Frame) -> Differences:
    """Several memories and pointers, forward and in reverse, then the heads on top of them."""
    found = Differences()
    model, reference = frame.pair.model, frame.pair.reference
    side, config = frame.pair.size // 16, model.config
    place = reference.memory_encoder.position_encoding(torch.zeros(1, 64, side, side))

    def item() -> dict[str, object]:
        return {
            "maskmem_features": torch.randn(1, 64, side, side, generator=frame.random),
            "maskmem_pos_enc": [place],
            "obj_ptr": torch.randn(1, config.hidden, generator=frame.random),
        }

    now, count = 20, 40
    for reverse in (False, True):
        sign = -1 if reverse else 1
        # Distances in the direction of travel: conditioning frames in the past, now and ahead.
        conditioning = {now - sign * d: item() for d in (11, 0, -6)}
        tracked = {now - sign * d: item() for d in (1, 2, 4, 6, 9)}
        theirs = reference._prepare_memory_conditioned_features(
            frame_idx=now,
            is_init_cond_frame=False,
            current_vision_feats=frame.theirs.sequences[-1:],
            current_vision_pos_embeds=frame.theirs.places[-1:],
            feat_sizes=frame.theirs.sizes[-1:],
            output_dict={"cond_frame_outputs": conditioning, "non_cond_frame_outputs": tracked},
            num_frames=count,
            track_in_reverse=reverse,
        )
        known = conditioning | tracked
        slots = {now - sign * d: 6 for d in (11, 0, -6)}
        slots |= {now - sign * d: d - 1 for d in (1, 2, 4, 6)}
        distances = (11, 0, 1, 2, 4, 6, 9)
        pointers = [known[now - sign * d]["obj_ptr"] for d in distances]
        ours = model.recall(
            frame.ours,
            Recollection(
                [Memory(known[t]["maskmem_features"], frame.ours.grid) for t in slots],
                list(slots.values()),
                torch.stack(pointers, dim=1),
                torch.tensor(distances, dtype=torch.float32),
                horizon=15,
            ),
        )
        found.add("conditioned", ours, theirs)
        heads = prompt_heads(reference, frame.theirs, None, None, conditioned=theirs)
        _compare(found, model.predict_masks(ours, frame.ours, None), heads, 0)
    return found


CASES: dict[str, Case] = {
    "image encoder": encoder,
    "1 click": click,
    "3 clicks": clicks,
    "box": box,
    "box + click": box_click,
    "clicks on a mask": refinement,
    "mask": mask,
    "stability fallback": stability_fallback,
    "memorize": memorize,
    "recall": recall,
}
