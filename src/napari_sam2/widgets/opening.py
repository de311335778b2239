"""Opening a session: the model, the frames, and what they are made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam2.model.config import Attention

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and the bytes in all."""


class Cancelled(Exception):
    """The user does not want the answer any more."""


@dataclass(frozen=True)
class SessionRequest:
    """What a session is opened for.

    Parameters
    ----------
    data
        The stack: (T, Y, X), with channels last if `rgb`, or one 2D image.
    axis
        The axis of `data` that frames are counted along.
    rgb
        Whether the last axis holds colours.
    model, device
        For `napari_sam2.load_model`.
    path
        The file that the data came from; "" where there was none.
    axes
        Of that file, as far as the layer tells; "" where it does not.
    attention, zoom
        As in `TrackingPolicy`.
    """

    data: Any
    axis: int
    rgb: bool
    model: str
    device: str
    path: str = ""
    axes: str = ""
    attention: Attention | None = None
    zoom: float | None = None


class SessionOpener:
    """Opens sessions and keeps the last model, which takes longest to load."""

    def __init__(self) -> None:
        self._key: tuple[str, str] | None = None
        self._model: Any = None

    def __call__(self, request: SessionRequest, progress: Progress) -> Any:
        """Load the model if needed and open a session; runs on the worker's thread."""
        # torch takes seconds to import: not before it is needed, and not on the window's thread.
        from napari_sam2.tracking.frames import Frames
        from napari_sam2.tracking.policy import TrackingPolicy
        from napari_sam2.tracking.session import TrackingSession
        from napari_sam2.weights import load_model

        key = (request.model, request.device)
        if self._key != key:
            self._key, self._model = None, None
            self._model = load_model(request.model, request.device, progress=progress)
            self._key = key
        channel_axis = len(request.data.shape) - 1 if request.rgb else None
        frames = Frames(request.data, axis=request.axis, channel_axis=channel_axis)
        policy = TrackingPolicy(attention=request.attention, zoom=request.zoom)
        return TrackingSession(self._model, frames, policy)


SessionFactory = Callable[[SessionRequest, Progress], Any]
"""Opens a session; what `Progress` raises ends a download."""
