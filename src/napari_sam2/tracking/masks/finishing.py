"""The last touch on masks that were found in windows; whole frames stay as published."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from napari_sam2.model.values import MaskPrediction
from napari_sam2.tracking.masks.box_fitting import fitted
from napari_sam2.tracking.masks.obeying import changed_around, changed_at, obeying, unanswered
from napari_sam2.tracking.masks.tidying import tidied
from napari_sam2.tracking.prompt import Prompt
from napari_sam2.tracking.windows import Geometry, Window

_CONFIDENCE = 4  # power of the predicted IoU
_DOUBT = 0.25  # least score, as users see it, of what is shown
_GENEROUS = 0.5  # logit


def blended(prediction: MaskPrediction) -> MaskPrediction:
    """Let all masks vote on the chosen one, by how sure they are, as the masks for a click do.

    Parameters
    ----------
    prediction : (N, M) masks of objects that are followed.

    Returns
    -------
    MaskPrediction
        The chosen masks alone, M = 1.
    """
    sure = prediction.iou.clamp(min=1e-3) ** _CONFIDENCE
    shares = (sure / sure.sum(dim=1, keepdim=True))[:, :, None, None]
    logits = (shares * prediction.logits).sum(dim=1, keepdim=True)
    return replace(prediction.best(), logits=logits)


def doubted(prediction: MaskPrediction) -> Tensor:
    """Tell which of N objects are gone, though their masks are not empty.

    In a z-stack what lies out of focus still shows where a cell has ended, so it is taken for
    present; but the predicted IoU falls.
    """
    return prediction.best_iou * prediction.object_score.sigmoid() < _DOUBT


def tidy(prediction: MaskPrediction) -> MaskPrediction:
    """Make the chosen masks whole, without specks and pinholes."""
    logits = prediction.logits.clone()
    rows = torch.arange(len(logits), device=logits.device)
    logits[rows, prediction.chosen] = tidied(prediction.best_logits)
    return replace(prediction, logits=logits)


def generous(logits: Tensor) -> Tensor:
    """Draw masks of clicks a little larger: on images of unknown kinds they are rather too small.

    Boxes say where the outline runs, and what is followed is seen as it was.
    """
    return logits + _GENEROUS


def fit_box(
    prediction: MaskPrediction, geometry: Geometry, window: Window, prompt: Prompt
) -> MaskPrediction:
    """Shift the chosen mask of one object so that it fits the box, if there is one.

    Parameters
    ----------
    prediction, geometry, window, prompt : see `obey`.
    """
    if prompt.box is None:
        return prediction
    edges = prompt.box + np.array([[0], [1]])  # of the pixels in its corners
    corner = 4 * np.array([window.row, window.column])
    logits = prediction.logits.clone()
    logits[0, prediction.chosen[0]] = fitted(
        prediction.best_logits[0], edges * np.array(geometry.scale) / 4 - corner
    )
    return replace(prediction, logits=logits)


def obey(
    prediction: MaskPrediction,
    geometry: Geometry,
    window: Window,
    prompt: Prompt,
    earlier_hw: Tensor | None,
) -> MaskPrediction:
    """Bend the chosen mask of one object to the clicks on it.

    Parameters
    ----------
    prediction : of one object.
    geometry, window : where it lies.
    prompt : with the clicks.
    earlier_hw : logits of the mask that the clicks correct, if any; it changes only where clicked.
    """
    if not len(prompt.points):
        return prediction
    scale = np.array(geometry.scale) / 4
    points = (prompt.points + 0.5) * scale - 0.5 - 4 * np.array([window.row, window.column])
    best = prediction.best_logits[0]
    bent = obeying(best.float().cpu().numpy(), points, prompt.positive)
    if earlier_hw is not None:
        earlier = earlier_hw.float().cpu().numpy()
        new = unanswered(earlier, points, prompt.positive)
        bent = changed_at(earlier, bent, points[new], prompt.positive[new])
        bent = changed_around(earlier, bent, points, prompt.positive)
        bent = obeying(bent, points, prompt.positive)
    logits = prediction.logits.clone()
    logits[0, prediction.chosen[0]] = torch.from_numpy(bent).to(best)
    return replace(prediction, logits=logits)
