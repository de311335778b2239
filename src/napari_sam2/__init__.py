"""SAM 2 for microscopy: prompts on any frame, masklets through the whole stack."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam2.export.formats import export_masklets as export_masklets
    from napari_sam2.export.formats import open_masklets as open_masklets
    from napari_sam2.export.formats import open_parents as open_parents
    from napari_sam2.export.rois import read_rois as read_rois
    from napari_sam2.export.tables import graph_of as graph_of
    from napari_sam2.export.tables import tracks_of as tracks_of
    from napari_sam2.stacks import open_stack as open_stack
    from napari_sam2.teaching import teach as teach
    from napari_sam2.tracking.errors import InputError as InputError
    from napari_sam2.tracking.frames import Frames as Frames
    from napari_sam2.tracking.kept.history import History as History
    from napari_sam2.tracking.kept.keeping import KeptSession as KeptSession
    from napari_sam2.tracking.kept.session_file import SessionFile as SessionFile
    from napari_sam2.tracking.objects.estimates import Quality as Quality
    from napari_sam2.tracking.policy import TrackingPolicy as TrackingPolicy
    from napari_sam2.tracking.prompt import Prompt as Prompt
    from napari_sam2.tracking.results import FrameResult as FrameResult
    from napari_sam2.tracking.results import Preview as Preview
    from napari_sam2.tracking.session import TrackingSession as TrackingSession
    from napari_sam2.weights import load_model as load_model
    from napari_sam2.widgets.scripts.scripting import attach as attach

__version__ = "0.1.0"

# Public name -> module. Imported on first use, so that `import napari_sam2` stays cheap.
_EXPORTS = {
    "FrameResult": "napari_sam2.tracking.results",
    "Frames": "napari_sam2.tracking.frames",
    "History": "napari_sam2.tracking.kept.history",
    "InputError": "napari_sam2.tracking.errors",
    "KeptSession": "napari_sam2.tracking.kept.keeping",
    "Preview": "napari_sam2.tracking.results",
    "Prompt": "napari_sam2.tracking.prompt",
    "Quality": "napari_sam2.tracking.objects.estimates",
    "SessionFile": "napari_sam2.tracking.kept.session_file",
    "TrackingPolicy": "napari_sam2.tracking.policy",
    "TrackingSession": "napari_sam2.tracking.session",
    "attach": "napari_sam2.widgets.scripts.scripting",
    "export_masklets": "napari_sam2.export.formats",
    "graph_of": "napari_sam2.export.tables",
    "load_model": "napari_sam2.weights",
    "open_masklets": "napari_sam2.export.formats",
    "open_parents": "napari_sam2.export.formats",
    "open_stack": "napari_sam2.stacks",
    "read_rois": "napari_sam2.export.rois",
    "teach": "napari_sam2.teaching",
    "tracks_of": "napari_sam2.export.tables",
}

__all__ = [
    "FrameResult",
    "Frames",
    "History",
    "InputError",
    "KeptSession",
    "Preview",
    "Prompt",
    "Quality",
    "SessionFile",
    "TrackingPolicy",
    "TrackingSession",
    "__version__",
    "attach",
    "export_masklets",
    "graph_of",
    "load_model",
    "open_masklets",
    "open_parents",
    "open_stack",
    "read_rois",
    "teach",
    "tracks_of",
]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        return getattr(importlib.import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])
