"""Opening a session: the model, the frames, and what they are made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from napari_sam2.fetch import Progress

if TYPE_CHECKING:
    from napari_sam2.model.config import Attention
    from napari_sam2.tracking.frames import Frames
    from napari_sam2.tracking.stack.channels import Channels
    from napari_sam2.tracking.stack.contrast import Contrast


@dataclass(frozen=True)
class SessionRequest:
    """What a session is opened for.

    Parameters
    ----------
    data
        The stack: (T, Y, X), or one 2D image, either with an axis of channels.
    axis
        The axis of `data` that frames are counted along.
    model, device
        For `napari_sam2.load_model`.
    path
        The file that the data came from; "" where there was none.
    axes
        Of that file, as far as the layer tells; "" where it does not.
    channel_axis, channel
        As for `Frames`: where the channels are, and what the model sees of them.
    file_channel, select
        The same choice as for `open_stack`, and the index along other axes of the file.
    attention, zoom
        As in `TrackingPolicy`.
    contrast
        Values shown as black and white; None: those of the whole stack.
    """

    data: Any
    axis: int
    model: str
    device: str
    path: str = ""
    axes: str = ""
    channel_axis: int | None = None
    channel: Channels | None = None
    file_channel: Channels | None = None
    select: Mapping[str, int] = field(default_factory=dict)
    attention: Attention | None = None
    zoom: float | None = None
    contrast: Contrast | None = None

    def frames(self, contrast: Contrast | None = None) -> Frames:
        """Return the stack as the model sees it, perhaps with another contrast."""
        from napari_sam2.tracking.frames import Frames  # torch takes seconds to import

        return Frames(
            self.data,
            self.axis,
            channel_axis=self.channel_axis,
            channel=self.channel,
            contrast=self.contrast if contrast is None else contrast,
        )


class SessionOpener:
    """Opens sessions and keeps the last model, which takes longest to load."""

    def __init__(self) -> None:
        self._key: tuple[str, str] | None = None
        self._model: Any = None
        self._device: Any = None  # that it was loaded on

    def __call__(self, request: SessionRequest, progress: Progress) -> Any:
        """Load the model if needed and open a session; runs on the worker's thread."""
        # torch takes seconds to import: not before it is needed, and not on the window's thread.
        from napari_sam2.tracking.policy import TrackingPolicy
        from napari_sam2.tracking.session import TrackingSession
        from napari_sam2.weights import load_model

        key = (request.model, request.device)
        # Where memory runs out, a session moves its model to the CPU.
        if self._key != key or self._model.device != self._device:
            self._key, self._model = None, None
            self._model = load_model(request.model, request.device, progress=progress)
            self._key, self._device = key, self._model.device
        policy = TrackingPolicy(attention=request.attention, zoom=request.zoom)
        return TrackingSession(self._model, request.frames(), policy)


SessionFactory = Callable[[SessionRequest, Progress], Any]
"""Opens a session; what `Progress` raises ends a download."""
