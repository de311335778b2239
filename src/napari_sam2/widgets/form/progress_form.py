"""How far the work at hand is, and the buttons that hold it up."""

from __future__ import annotations

from qtpy.QtWidgets import QProgressBar, QSizePolicy, QWidget

from napari_sam2.widgets.parts import button, row
from napari_sam2.widgets.words import duration

_PAUSE = "Rest after this frame, and go on later"
_REST = "Follow the objects over the frames that the cancelled propagation has not reached"


class ProgressForm(QWidget):
    """A bar that is seen while there is something to show."""

    def __init__(self) -> None:
        super().__init__()
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Progress of the propagation")
        self.pause = button("Pause", _PAUSE)
        self.cancel = button("Cancel", "Stop here; what is done is kept")
        for part in (self.pause, self.cancel):
            part.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.setLayout(row(self.bar, self.pause, self.cancel))
        # The window must not jump when it comes and goes.
        policy = self.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.setSizePolicy(policy)
        self.hide()

    def show_progress(
        self,
        done: int,
        total: int,
        rate: float,
        left: float | None = None,
        label: str = "",
    ) -> None:
        """Show the state of long work.

        `left` are the seconds until its end; `label` says how far it is, in place of the numbers.
        """
        speed = "" if not rate else f" · {rate:.1f}/s" if rate >= 1 else f" · {1 / rate:.1f} s each"
        rest = f" · {duration(left)} left" if left is not None and left >= 5 else ""
        text = label or (f"{done} of {total}{speed}{rest}" if total else "preparing")
        self._show(done, total, text)

    def show_download(self, have: int, total: int | None) -> None:
        """Show how much of a model was downloaded."""
        of = f" of {total / 1e6:.0f}" if total else ""
        percent = 100 * have // total if total else 0
        self._show(percent, 100 if total else 0, f"{have / 1e6:.0f}{of} MB")

    def _show(self, value: int, maximum: int, text: str) -> None:
        if self.isHidden():
            self.show()
        if self.bar.format() != text:
            self.bar.setRange(0, maximum)
            self.bar.setValue(value)
            self.bar.setFormat(text)

    def clear(self) -> None:
        """Show nothing."""
        self.hide()
        self.bar.setFormat("")

    def show_left(self, done: int, total: int) -> None:
        """Show how far a propagation had come that can go on."""
        self._show(done, total, f"stopped at {done} of {total}")

    def set_state(self, running: bool, loading: bool, paused: bool, left: bool = False) -> None:
        """Enable what can be used now; `left`: a propagation that was cancelled can go on."""
        self.pause.setVisible(running or left)
        self.pause.setText("Go on" if paused or left else "Pause")
        self.pause.setToolTip(_REST if left else _PAUSE)
        self.cancel.setVisible(not left)
        self.cancel.setEnabled(running or loading)
