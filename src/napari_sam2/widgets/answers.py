"""One prompt of the layers, given to the session; the mask it answers, written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from napari_sam2.tracking.prompt import Prompt
from napari_sam2.widgets.results import ResultWriter


def answer(
    session: Any,
    writer: ResultWriter,
    object_id: int,
    frame: int,
    prompt: Prompt | None,
    drawn: bool,
) -> str:
    """Give the session a prompt in the place of the earlier one and write what it answers."""
    known = session.prompts.get(object_id, {}).get(frame)
    if prompt is None:
        if known is not None:
            session.clear_prompt(object_id, frame)
        _write(session, writer, object_id, frame)
        return f"Object {object_id}: the prompt on frame {frame} was taken back."
    preview = _give(session, object_id, frame, prompt, known)
    if not drawn:
        _write(session, writer, object_id, frame)
    if not preview.mask.any():
        return f"Object {object_id}: nothing found there. Add a point or draw a box around it."
    size, sure = int(preview.mask.sum()), round(100 * preview.iou)
    return f"Object {object_id}, frame {frame}: {size} pixels, {sure} % sure."


def _write(session: Any, writer: ResultWriter, object_id: int, frame: int) -> None:
    result = session.result(frame)
    writer.write(frame, result.labels, {*result.quality, object_id})


def _give(session: Any, object_id: int, frame: int, prompt: Prompt, known: Prompt | None) -> Any:
    """Turn the prompt `known` to the session into `prompt`; returns the preview."""
    count = len(known.points) if known is not None else 0
    if known is not None and count < len(prompt.points):
        earlier = replace(prompt, points=prompt.points[:count], positive=prompt.positive[:count])
        if earlier == known:  # one more click refines the mask that the last one gave
            return session.add_points(
                object_id, frame, prompt.points[count:], prompt.positive[count:]
            )
    if known is not None:
        session.clear_prompt(object_id, frame)
    preview = None
    if prompt.mask is not None:
        preview = session.add_mask(object_id, frame, prompt.mask)
    elif prompt.box is not None:
        preview = session.add_box(object_id, frame, prompt.box)
    if len(prompt.points):
        preview = session.add_points(object_id, frame, prompt.points, prompt.positive)
    return preview
