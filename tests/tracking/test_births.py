"""Daughters that are found on the way are told whose they are."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from napari_sam2.tracking.finding.births import Division, divisions
from napari_sam2.tracking.frames import Frames
from napari_sam2.tracking.kept.finding_steps import PropagateAndFind
from napari_sam2.tracking.kept.history import History
from napari_sam2.tracking.kept.steps import AddPrompts
from napari_sam2.tracking.kept.steps_json import step_as_json, step_from_json
from napari_sam2.tracking.masks.mask_text import mask_text
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.session import TrackingSession
from napari_sam2.training.samples import sample_timelapse
from tests.tracking import toy
from tests.tracking.toy import toy_model

LENGTH, SPLITS = 10, 5
LONG = 9  # of the sample: six divisions
SHAPE = (96, 160)
disk = partial(toy.disk, shape=SHAPE)


def film(*, stays: bool = False, leaves: bool = False) -> np.ndarray:
    """A cell that divides beside one that does not.

    Or it `stays` what it is and is joined by another one, or one of its daughters `leaves` the
    other one where she was.
    """
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    images = np.random.default_rng(0).normal(40, 5, (LENGTH, *SHAPE))
    for t in range(LENGTH):
        images[t][(y - 48) ** 2 + (x - 130) ** 2 < 15**2] = 140
        apart = 14 + 2 * (t - SPLITS)
        if t < SPLITS:
            cells = [(0, 16)]
        else:
            cells = [(-apart, 11), (apart, 11)]
            if stays or leaves:
                cells = [(0, 16 if stays else 11), (apart + 12, 11)]
        for shift, radius in cells:
            images[t][(y - 48) ** 2 + (x - 50 - shift) ** 2 < radius**2] = 140
    return images.clip(0, 255).astype(np.uint8)


def seeds() -> dict[int, dict[int, Prompt]]:
    yes = np.array([True])
    return {1: {0: Prompt([[48.0, 50.0]], yes)}, 2: {0: Prompt([[48.0, 130.0]], yes)}}


def shown(session: TrackingSession, object_id: int) -> list[int]:
    return [t for t in range(LENGTH) if (session.result(t).labels == object_id).any()]


def test_daughters_know_their_mother_and_she_ends(micro):
    session = TrackingSession(micro, Frames(film()))
    history = History(session)
    history.do(AddPrompts(seeds()))
    step = PropagateAndFind("forward", every=3, diameter=26, dividing=True)
    history.do(step)
    assert set(session.parents.values()) == {1}
    assert len(session.parents) == 2
    assert shown(session, 1) == list(range(SPLITS))
    assert shown(session, 2) == list(range(LENGTH))
    for daughter in session.parents:
        assert shown(session, daughter) == list(range(SPLITS, LENGTH))
    assert not session.stale_frames()
    labels = [session.result(t).labels for t in range(LENGTH)]
    again = TrackingSession(micro, Frames(film()))
    for one in history.steps:
        History(again).do(step_from_json(step_as_json(one), 1))
    assert again.parents == session.parents
    for t in range(LENGTH):
        np.testing.assert_array_equal(again.result(t).labels, labels[t])
    history.undo()
    assert session.object_ids == [1, 2]
    assert not session.parents


def test_daughters_are_told_though_the_stage_jumped_as_they_were_born(micro):
    images, shift = film(), (24, -14)
    images[SPLITS:] = np.roll(images[SPLITS:], shift, axis=(1, 2))
    session = TrackingSession(micro, Frames(images))
    session.add_prompts(seeds())
    for _ in session.propagate_and_find(3, diameter=26, direction="forward", dividing=True):
        pass
    assert session._objects[2].bank.jumps[SPLITS] == pytest.approx(shift, abs=2)
    assert list(session.parents.values()) == [1, 1]


def test_a_mother_that_goes_on_as_a_daughter_is_split(micro):
    session = TrackingSession(micro, Frames(film(leaves=True)))
    session.add_prompts(seeds())
    limits = {"first_id": 7, "last_id": 8}
    for _ in session.propagate_and_find(
        3, diameter=26, direction="forward", dividing=True, **limits
    ):
        pass
    assert session.parents == {7: 1, 8: 1}
    assert shown(session, 1) == list(range(SPLITS))
    assert session.prompts[1][SPLITS].absent
    assert shown(session, 7) == shown(session, 8) == list(range(SPLITS, LENGTH))
    stayed = session.result(LENGTH - 1).labels[48, 50]
    assert stayed == 8  # what was followed as the mother
    assert list(session.prompts[8]) == [SPLITS]
    assert not session.stale_frames()
    # Without an id for her, she stays what she is.
    session = TrackingSession(micro, Frames(film(leaves=True)))
    session.add_prompts(seeds())
    for _ in session.propagate_and_find(
        3, diameter=26, direction="forward", dividing=True, last_id=3
    ):
        pass
    assert session.object_ids == [1, 2, 3]
    assert not session.parents
    assert shown(session, 1) == list(range(LENGTH))


LEFT, RIGHT, BELOW, AWAY = (48, 37, 11), (48, 64, 11), (78, 50, 11), (48, 130, 15)


def told(
    prepare=None, *, mother=range(SPLITS), later=(48, 50, 16), daughters=(LEFT,), since=3
) -> list[Division]:
    """What is made of the masks of a mother, 1, and of others that are there from SPLITS on.

    From then on she is where `later` says, if at all.
    """
    session = TrackingSession(toy_model(), Frames(film()))
    new = dict(enumerate(daughters, start=2))
    places = {t: (48, 50, 16) if t < SPLITS else later for t in mother}
    masks = {1: {t: mask_text(disk(*place)) for t, place in places.items()}}
    for i, place in new.items():
        masks[i] = dict.fromkeys(range(SPLITS, LENGTH), mask_text(disk(*place)))
    list(session.adopt_objects(masks))
    if prepare is not None:
        prepare(session)
    return divisions(session._engine, session._objects, [*new], since)


def test_where_masks_end_and_begin_tells_of_a_division():
    assert told() == [Division(1, SPLITS, (2,), goes_on=False)]
    assert told(mother=range(LENGTH)) == []  # she is as large as before
    assert told(daughters=(LEFT, RIGHT)) == [Division(1, SPLITS, (2, 3), goes_on=False)]
    # Of three only the nearest; and what goes on beside two would be a third.
    assert told(daughters=(BELOW, LEFT, RIGHT)) == [Division(1, SPLITS, (3, 4), goes_on=False)]
    assert told(mother=range(LENGTH), daughters=(LEFT, RIGHT)) == []


def test_what_goes_on_is_a_daughter_if_it_is_smaller_or_two_came():
    both = [Division(1, SPLITS, (2,), goes_on=True)]
    assert told(mother=range(LENGTH), later=(48, 64, 13)) == both  # two thirds of her area
    assert told(mother=range(LENGTH), later=(48, 64, 14.5)) == []  # more than four fifths
    # One beside her, and one that is too far off to be hers.
    assert told(mother=range(LENGTH), daughters=(LEFT, (48, 87, 11))) == both
    assert told(mother=range(LENGTH), daughters=(LEFT, (48, 92, 11))) == []


def test_who_was_lost_before_or_came_earlier_is_not_told_of():
    assert told(mother=range(SPLITS - 1)) == []
    assert told(since=SPLITS) == []


@pytest.mark.parametrize(
    "prepare",
    [
        lambda session: session.lock_object(1),
        lambda session: session.add_mask(1, SPLITS + 2, disk(48, 50, 16)),
        lambda session: (session.add_mask(9, 7, disk(*AWAY)), session.set_parent(9, 1)),
    ],
)
def test_who_is_locked_or_shown_later_or_has_daughters_does_not_divide(prepare):
    assert told(prepare) == []


def test_what_comes_beside_another_is_nobodys_daughter(micro):
    session = TrackingSession(micro, Frames(film(stays=True)))
    session.add_prompts(seeds())
    for _ in session.propagate_and_find(3, diameter=26, dividing=True):
        pass
    assert len(session.object_ids) == 3
    assert not session.parents


def test_not_in_space_and_not_backward(micro):
    for direction, stack in (("forward", film()), ("backward", film()[::-1])):
        session = TrackingSession(micro, Frames(stack))
        first = 0 if direction == "forward" else LENGTH - 1
        session.add_prompts({i: {first: some[0]} for i, some in seeds().items()})
        dividing = direction == "backward"
        for _ in session.propagate_and_find(3, diameter=26, direction=direction, dividing=dividing):
            pass
        assert len(session.object_ids) > 2
        assert not session.parents


def _diameter(labels: np.ndarray) -> float:
    areas = np.bincount(labels.ravel())[1:]
    return float(2 * np.sqrt(np.median(areas[areas > 0]) / np.pi))


def test_of_the_sample_most_are_right(micro):
    images, truth = sample_timelapse(LONG)
    session = TrackingSession(micro, Frames(images))
    *_, found = session.segment_everything(0, diameter=_diameter(truth[0]))
    session.add_prompts(found.prompts(0))
    for _ in session.propagate_and_find(4, dividing=True):
        pass
    known = [session.result(t).labels for t in range(LONG)]
    born = {int(i): t for t in range(LONG)[::-1] for i in np.unique(truth[t]) if i}
    assert session.parents
    right = 0
    for daughter, mother in session.parents.items():
        t = next(n for n in range(LONG) if (known[n] == daughter).any())
        one = np.bincount(truth[t][known[t] == daughter]).argmax()
        her = np.bincount(truth[t - 1][known[t - 1] == mother]).argmax()
        right += (
            abs(born.get(int(one), -9) - t) <= 1 and not (truth[min(t + 1, LONG - 1)] == her).any()
        )
    assert right >= 0.7 * len(session.parents)
