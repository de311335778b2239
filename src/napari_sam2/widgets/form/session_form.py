"""The part of the form about the session: undo, export, what is kept on disk; its dialogs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QAction  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QFileDialog,
    QInputDialog,
    QMenu,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_sam2.layer_data import stem_of
from napari_sam2.tracking.kept.session_file import SUFFIX
from napari_sam2.widgets.layers.seen import show_current
from napari_sam2.widgets.layers.slice_step import current_step, set_step
from napari_sam2.widgets.layers.sources import NO_UNITS
from napari_sam2.widgets.layers.tracks_layer import show_tracks
from napari_sam2.widgets.parts import button, pop_up, row
from napari_sam2.widgets.verbs.exporting import export, filters, with_suffix
from napari_sam2.widgets.verbs.importing import import_masklets
from napari_sam2.widgets.verbs.teaching import WEIGHTS, teach
from napari_sam2.widgets.words import COMMAND

if TYPE_CHECKING:
    from napari_sam2.widgets.workbench import Workbench

_SESSIONS = f"Sessions (*{SUFFIX})"
_WEIGHTS = f"Weights (*{WEIGHTS})"
_ROIS = "Regions of ImageJ (*.zip *.roi)"
_MASKLETS = "Masklets (*.tif *.tiff *.json *.npy);;All files (*)"


class SessionForm(QWidget):
    """Buttons below the propagation."""

    def __init__(self) -> None:
        super().__init__()
        self.undo = button("Undo", f"Take back what was done last, a propagation too [{COMMAND}+Z]")
        self.redo = button("Redo", f"Do again what was undone last [{COMMAND}+Shift+Z]")
        self.export = button("Export …", "Write the masklets for Fiji, TrackMate, COCO and others")
        self.more = button(
            "More", "Objects and masklets of other programs; save, open and restore sessions"
        )
        self.restore = button("Restore", "Bring back what was done to this image the last time")
        self.preview = _choice(
            self,
            "Preview under the mouse",
            "Rest the mouse on a cell to see what a click there would give. Models that encode "
            "whole frames show it on frames that they have encoded already",
        )
        self.outline = _choice(
            self, "Outline the current object", "A white line around it on the frame on screen"
        )
        self.fill_gaps = QAction("Fill gaps of one frame", self)
        self.fill_gaps.setToolTip(
            "Where an object was not found on a single frame: what lies between the masks before "
            "and after"
        )
        self.timeline = QAction("Timeline", self)
        self.timeline.setToolTip("Show the timeline of confidence below the canvas")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row(self.undo, self.redo, self.export, self.more))
        layout.addWidget(self.restore)
        self.restore.hide()

    def set_state(self, has_image: bool, running: bool, earlier: bool) -> None:
        """Enable what can be used now; `earlier`: there is a session to restore."""
        for part in (self.undo, self.redo, self.export, self.more):
            part.setEnabled(has_image and not running)
        self.restore.setVisible(has_image and earlier and not running)


def _choice(parent: QWidget, text: str, tip: str) -> QAction:
    made = QAction(text, parent)
    made.setCheckable(True)
    made.setToolTip(tip)
    return made


class SessionActions:
    """What the buttons do, with a workbench.

    Parameters
    ----------
    form
        The buttons; its window is the parent of dialogs.
    bench
        Does it.
    keys
        What each key does.
    """

    def __init__(self, form: SessionForm, bench: Workbench, keys: Mapping[str, str]) -> None:
        self._form, self._bench, self._keys = form, bench, keys
        self._kind = ""
        form.undo.clicked.connect(lambda: bench.undoing.undo())
        form.redo.clicked.connect(lambda: bench.undoing.redo())
        form.export.clicked.connect(lambda: self.export())
        form.more.clicked.connect(lambda: self._open_menu(form.more))
        form.restore.clicked.connect(lambda: bench.restoring.restore())

    def _open_menu(self, under: QPushButton) -> None:
        pop_up(self.menu(), under.mapToGlobal(under.rect().bottomLeft()))

    def menu(self) -> QMenu:
        """Make the menu of 'More'."""
        bench, menu = self._bench, QMenu(self._form)
        menu.setToolTipsVisible(True)
        seeds = menu.addMenu("Objects from a layer, on this frame")
        assert seeds is not None
        for layer in bench.seeding.sources:
            seeds.addAction(layer.name, lambda layer=layer: bench.seeding.add_layer(layer))
        seeds.setEnabled(bool(bench.seeding.sources))
        menu.addAction("Objects from regions of ImageJ …", self.add_rois)
        masklets = menu.addMenu("Masklets from a layer, on all frames")
        assert masklets is not None
        labels = [layer for layer in bench.seeding.sources if hasattr(layer, "selected_label")]
        for layer in labels:
            masklets.addAction(layer.name, lambda layer=layer: bench.seeding.adopt(layer))
        masklets.setEnabled(bool(labels))
        imports = menu.addMenu("Import masklets")
        assert imports is not None
        imports.addAction("From a file (TIFF, COCO, SA-V) …", self.import_file)
        imports.addAction("From a folder (Cell Tracking Challenge, OME-Zarr) …", self.import_folder)
        menu.addAction("The object ends here", lambda: bench.prompting.end_here())
        menu.addAction("The object divides here (D)", lambda: bench.dividing.divide())
        menu.addAction(self._form.fill_gaps)
        menu.addAction("Tracks as a layer", lambda: show_tracks(bench))
        menu.addAction("Teach the model these cells …", self.teach)
        menu.addAction("What the model sees", lambda: show_current(bench))
        where = "Go back to 2D" if bench.space.on else "Show in 3D"
        menu.addAction(f"{where} (Shift+Y)", lambda: bench.space.toggle())
        menu.addAction("Step between slices …", self.ask_step)
        menu.addAction(self._form.timeline)
        menu.addAction(self._form.preview)
        menu.addAction(self._form.outline)
        menu.addSeparator()
        menu.addAction("Save the session as …", self.save)
        menu.addAction("Open a session …", self.open)
        earlier = menu.addAction("Restore the last session", lambda: bench.restoring.restore())
        assert earlier is not None
        earlier.setEnabled(bench.restoring.found is not None)
        menu.addAction("Start over on this image", lambda: bench.restoring.restart())
        menu.addSeparator()
        menu.addAction("Keys (?)", self.show_keys)
        return menu

    def show_keys(self) -> None:
        """Show what the keys do, in a window that stays open beside the work."""
        rows = "".join(
            f"<tr><td><b>{key}</b>&nbsp;&nbsp;&nbsp;</td><td>{text}</td></tr>"
            for key, text in self._keys.items()
        )
        sheet = QMessageBox(self._form)
        sheet.setWindowTitle("Keys of SAM 2 masklets")
        sheet.setText(f"With the mouse in the canvas:<table cellpadding=2>{rows}</table>")
        sheet.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        sheet.setModal(False)
        sheet.show()

    def ask_step(self) -> None:
        """Ask how far slices lie apart."""
        step = current_step(self._bench)
        if step is None:
            self._bench.status.emit("One image has no slices.", "info")
            return
        text = f"From one slice to the next, in {step.unit}"
        if step.unit in NO_UNITS:
            text = "From one slice to the next, in pixels: 3 if it is as far as 3 pixels are wide"
        elif step.pixel != 1:
            text += f" (a pixel is {step.pixel:.4g} wide)"
        value, given = QInputDialog.getDouble(
            self._form, "Step between slices", text, step.value, 0.0001, 1e6, 4
        )
        if given:
            set_step(self._bench, value)

    def export(self) -> None:
        """Ask for a file and its format, and write it."""
        kinds = filters()
        path, kind = QFileDialog.getSaveFileName(
            self._form,
            "Export the masklets",
            self._beside("_masklets"),
            ";;".join(kinds),
            self._kind,
        )
        if path:
            self._kind = kind  # offered first the next time
            name = kinds[kind]
            chosen = with_suffix(path, name)
            # The dialog asked before it gave a name that is taken; a longer one it has not seen.
            if chosen == Path(path) or self._may_replace(chosen):
                export(self._bench, chosen, name, overwrite=True)

    def teach(self) -> None:
        """Ask for a file for new weights, and learn them from the frames that were prompted on."""
        path, _ = QFileDialog.getSaveFileName(
            self._form, "Teach the model: new weights", self._beside(WEIGHTS), _WEIGHTS
        )
        if path:
            chosen = path if path.endswith(WEIGHTS) else path + WEIGHTS
            if chosen == path or self._may_replace(Path(chosen)):
                teach(self._bench, Path(chosen), overwrite=True)

    def add_rois(self) -> None:
        """Ask for a file of the ROI Manager, and make objects of what is in it."""
        path, _ = QFileDialog.getOpenFileName(
            self._form, "Open regions of ImageJ", str(Path(self._beside("")).parent), _ROIS
        )
        if path:
            self._bench.seeding.add_rois(Path(path))

    def import_file(self) -> None:
        """Ask for a file of labels, and make masklets of them."""
        path, _ = QFileDialog.getOpenFileName(
            self._form, "Import masklets", self._beside(""), _MASKLETS
        )
        if path:
            import_masklets(self._bench, Path(path))

    def import_folder(self) -> None:
        """Ask for a folder of labels, and make masklets of them."""
        path = QFileDialog.getExistingDirectory(
            self._form, "Import masklets", str(Path(self._beside("")).parent)
        )
        if path:
            import_masklets(self._bench, Path(path))

    def save(self) -> None:
        """Ask for a file for the session, which is kept up to date from then on."""
        path, _ = QFileDialog.getSaveFileName(
            self._form, "Save the session", self._beside(SUFFIX), _SESSIONS
        )
        if path:
            chosen = path if path.endswith(SUFFIX) else path.removesuffix(".json") + SUFFIX
            if chosen == path or self._may_replace(Path(chosen)):
                self._bench.controller.save(Path(chosen))

    def _may_replace(self, path: Path) -> bool:
        """Ask about a file that the dialog was not asked for, for want of its suffix."""
        if not path.exists():
            return True
        yes = QMessageBox.StandardButton.Yes
        text = f"{path.name} exists already. Replace it?"
        return QMessageBox.question(self._form, "Replace", text) == yes

    def open(self) -> None:
        """Ask for a session file, and do again what it says."""
        path, _ = QFileDialog.getOpenFileName(
            self._form, "Open a session of this image", self._beside(SUFFIX), _SESSIONS
        )
        if path:
            self._bench.restoring.restore(Path(path))

    def _beside(self, suffix: str) -> str:
        """Return a name beside the image, if that is a file."""
        place = self._bench.source_path
        return str(Path(place).with_name(stem_of(Path(place).name) + suffix)) if place else ""
