"""Work that changes what stands in the prompt layers: what is clicked meanwhile comes after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam2.widgets.session.record import Record
    from napari_sam2.widgets.session.runs import Run
    from napari_sam2.widgets.workbench import Workbench


def act(
    bench: Workbench,
    job: Callable[[], Any],
    done: Callable[[Any], None],
    failed: Callable[[Exception], None] | None = None,
) -> None:
    """Do short work; see `Controller.submit`."""
    layers = bench.layers
    assert layers is not None
    layers.hold()

    def then(function: Callable[[Any], None]) -> Callable[[Any], None]:
        def told(value: Any) -> None:
            try:
                function(value)
            finally:
                layers.release()

        return told

    bench.controller.submit(job, then(done), then(failed or bench.controller.tell))


def act_long(
    bench: Workbench,
    work: Callable[[Record, Run], None],
    text: str,
    said: Callable[[Run], str],
    after: Callable[[bool], None],
) -> bool:
    """Do long work; see `Controller.start`."""
    layers = bench.layers
    assert layers is not None

    def then(ended: bool) -> None:
        try:
            after(ended)
        finally:
            layers.release()

    began = bench.controller.start(work, text, said=said, after=then)
    if began:
        layers.hold()
    return began
