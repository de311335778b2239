"""What a session answers with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_sam2.tracking.masks.thin_mask import Place
from napari_sam2.tracking.objects.estimates import Quality


@dataclass(frozen=True, eq=False, repr=False)
class Preview:
    """The answer to a prompt.

    Parameters
    ----------
    object_id, frame : what was prompted.
    mask : (Y, X) bool.
    logits : (Y, X) float32, above 0 inside the mask.
    quality : how sure the network is.
    """

    object_id: int
    frame: int
    mask: npt.NDArray[np.bool_]
    logits: npt.NDArray[np.float32]
    quality: Quality

    def __repr__(self) -> str:
        pixels = f"{np.count_nonzero(self.mask)} px"
        return f"Preview(object {self.object_id} on frame {self.frame}: {pixels}, {self.quality})"

    @property
    def iou(self) -> float:
        """Predicted IoU, 0 to 1."""
        return self.quality.iou

    @property
    def object_score(self) -> float:
        """Logit of the object being in the frame."""
        return self.quality.object_score


@dataclass(frozen=True, eq=False, repr=False)
class FrameResult:
    """All objects on one frame.

    Parameters
    ----------
    frame : index along the propagation axis.
    labels : (Y, X) uint16, or uint32 where an id needs it; 0 is background.
    quality : by object id.
    place : rows and columns of the frame that labels and quality are about; None: all.
    """

    frame: int
    labels: npt.NDArray[np.unsignedinteger]
    quality: dict[int, Quality]
    place: Place | None = None

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.labels.shape))
        labels = f"{size} {self.labels.dtype} labels"
        return f"FrameResult(frame {self.frame}: {labels}, objects: {len(self.quality)})"

    @property
    def interpolated(self) -> frozenset[int]:
        """Ids of objects whose mask lies between its neighbours, see `close_gaps`."""
        return frozenset(i for i, quality in self.quality.items() if quality.interpolated)


@dataclass(frozen=True, eq=False)
class Trace:
    """What is known of one object on n frames, without its masks.

    Parameters
    ----------
    frames : (n,), rising.
    score : (n,), see `Quality.score`.
    object_score : (n,) logit of the object being in the frame.
    area : (n,) in data pixels; 0 where the object was looked for and not found.
    centre : (n, 2), (y, x) in data pixels; NaN where the area is 0.
    interpolated : (n,) the mask is no answer of the network, but lies between its neighbours.
    """

    frames: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]
    object_score: npt.NDArray[np.float32]
    area: npt.NDArray[np.float64]
    centre: npt.NDArray[np.float64]
    interpolated: npt.NDArray[np.bool_]
