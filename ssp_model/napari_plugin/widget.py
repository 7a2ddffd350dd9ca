"""The widget of the plugin: what to predict of which layer, with which model."""

from typing import TYPE_CHECKING, Any

from napari.layers import Image
from napari.qt.threading import create_worker
from napari.utils.notifications import show_error
from qtpy.QtCore import QSignalBlocker, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ssp_model.errors import InputError
from ssp_model.images.description import Sizes
from ssp_model.images.ome_output import PROJECT_KEY
from ssp_model.napari_plugin.layer import (
    Axes,
    LayerSource,
    full_resolution,
    known_axes,
    possible_axes,
    refuse_unusable,
    title,
)
from ssp_model.napari_plugin.running import RunningJob

if TYPE_CHECKING:
    from ssp_model.models.model_file import ModelInfo
    from ssp_model.napari_plugin.prediction import Job

CHOOSE = "choose ..."
LAYER_EVENTS = ("data", "scale", "units", "axis_labels", "affine")
"""What of a layer, when it changes, the widget shows anew."""


class PredictWidget(QWidget):
    """Predict structures in a layer of transmitted light; each becomes a layer.

    Parameters
    ----------
    napari_viewer : Viewer
        Napari gives it.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._layers: list[Any] = []
        self._shown: Any = None
        self._shown_axes: tuple[Any, Axes | None] = None, None
        self._axes_choices: list[Axes | None] = []
        self._model_read = self._model_problem = ""
        self._running: RunningJob | None = None
        self._make_inputs()
        self._lay_out()
        self.reset_choices()

    def _make_inputs(self) -> None:
        self.layer, self.axes, self.channel, self.device = (QComboBox() for _ in range(4))
        self.voxel_size, self.model = QLineEdit(), QLineEdit()
        self.structures = QListWidget()
        self.overlap = QDoubleSpinBox()
        self.predict, self.cancel, self.browse = (QPushButton(text) for text in ("Predict", "Cancel", "Browse"))
        self.hint, self.status = QLabel(), QLabel()
        for label in (self.hint, self.status):
            label.setWordWrap(True)
        self.model.setPlaceholderText("model.safetensors, https://..., s3://...")
        self.voxel_size.setPlaceholderText("not known")
        self.overlap.setRange(0, 0.95)
        self.overlap.setSingleStep(0.05)
        self.overlap.setValue(0.5)
        self.device.addItem("auto")
        self.cancel.setEnabled(False)
        self.layer.currentIndexChanged.connect(self._show_layer)
        self.axes.currentIndexChanged.connect(self._show_axes)
        self.channel.activated.connect(self._show_channel)
        self.model.editingFinished.connect(self._read_model)
        self.browse.clicked.connect(self._browse)
        self.predict.clicked.connect(self._start)
        self.cancel.clicked.connect(self._stop)

    def _lay_out(self) -> None:
        model, buttons = QHBoxLayout(), QHBoxLayout()
        model.addWidget(self.model)
        model.addWidget(self.browse)
        buttons.addWidget(self.predict)
        buttons.addWidget(self.cancel)
        self._form = QFormLayout()
        for text, field in {
            "Layer": self.layer,
            "It holds": self.axes,
            "Channel": self.channel,
            "Voxel size, um (Z Y X)": self.voxel_size,
            "": self.hint,
            "Model": model,
            "Structures": self.structures,
            "Overlap of windows": self.overlap,
            "Device": self.device,
        }.items():
            self._form.addRow(text, field)
        layout = QVBoxLayout(self)
        layout.addLayout(self._form)
        layout.addLayout(buttons)
        layout.addWidget(self.status)
        layout.addStretch()

    # Layers

    def reset_choices(self, event: object = None) -> None:
        """List the layers of the viewer anew; napari calls this when they change."""
        chosen = self._chosen_layer() or self._viewer.layers.selection.active
        self._layers = [layer for layer in self._viewer.layers if _may_be_input(layer)]
        with QSignalBlocker(self.layer):
            self.layer.clear()
            self.layer.addItems([layer.name for layer in self._layers])
            if chosen in self._layers:
                self.layer.setCurrentIndex(self._layers.index(chosen))
        if self._chosen_layer() is not self._shown:
            self._show_layer()

    def _chosen_layer(self) -> Any:
        number = self.layer.currentIndex()
        return self._layers[number] if 0 <= number < len(self._layers) else None

    def _show_layer(self, event: object = None) -> None:
        """Show what the axes of the layer may be; choose what the user chose before, or what the layer tells itself."""
        layer, before, chosen = self._chosen_layer(), self._shown, self._chosen_axes()
        if layer is not before:
            chosen = None
            for name in LAYER_EVENTS:
                if before is not None:
                    getattr(before.events, name).disconnect(self._show_layer)
                if layer is not None:
                    getattr(layer.events, name).connect(self._show_layer)
            self._shown = layer
        problem = _problem(layer)
        with QSignalBlocker(self.axes):
            self.axes.clear()
            self._axes_choices = []
            if layer is not None and not problem:
                known, possible = known_axes(layer), possible_axes(layer.ndim)
                self._axes_choices = [*([] if known else [None]), *possible]
                shape = full_resolution(layer).shape
                self.axes.addItems([axes.text(shape) if axes else CHOOSE for axes in self._axes_choices])
                self.axes.setCurrentIndex(self._axes_choices.index(chosen if chosen in possible else known))
        self._show_axes()
        if problem:
            self._show_hint(problem)

    def _chosen_axes(self) -> Axes | None:
        number = self.axes.currentIndex()
        return self._axes_choices[number] if 0 <= number < len(self._axes_choices) else None

    def _show_axes(self) -> None:
        """Show the channels, and the voxel size as the layer tells it."""
        layer, axes = self._chosen_layer(), self._chosen_axes()
        channel = self.channel.currentText() if self._shown_axes == (layer, axes) else ""
        self._shown_axes = layer, axes
        self.channel.clear()
        self.voxel_size.clear()
        self._show_hint("")
        num_channels = axes.size("channel", full_resolution(layer).shape) if axes else 1
        self._form.setRowVisible(self.channel, num_channels > 1)
        if axes:
            self.channel.addItems([*([CHOOSE] if num_channels > 1 else []), *map(str, range(num_channels))])
            self.channel.setCurrentText(channel)
            source = LayerSource.of(layer, axes)
            self.voxel_size.setText(_sizes_text(source.pixel_size.um))
            self._show_hint(source.doubt)

    def _show_hint(self, text: str) -> None:
        self.hint.setText(text)
        self._form.setRowVisible(self.hint, bool(text))

    def _show_channel(self, number: int) -> None:
        """Let the viewer show the channel that is chosen."""
        layer, axes = self._chosen_layer(), self._chosen_axes()
        if number > 0 and layer is not None and axes:
            axis = axes.kinds.index("channel") + self._viewer.dims.ndim - layer.ndim
            self._viewer.dims.set_current_step(axis, number - 1)

    # The model

    def _browse(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Model file", self.model.text(), "Model files (*.safetensors)")
        if path:
            self.model.setText(path)
            self._read_model()

    def _read_model(self) -> None:
        """Read the structures of the model in another thread: it may have to be fetched."""
        address = self.model.text().strip()
        # a file that could not be used may be mended by now
        if address == self._model_read and not self._model_problem:
            return
        self._model_read, self._model_problem = address, ""
        self.structures.clear()
        if address:
            self.status.setText("reading the model ...")
            self.predict.setEnabled(False)
            worker = create_worker(_describe, address, _progress={"desc": "read the model"})
            worker.returned.connect(self._show_model)
            worker.finished.connect(self._may_start)
            worker.start()

    def _show_model(self, found: "tuple[str, ModelInfo | None, list[str], str]") -> None:
        address, info, devices, problem = found
        if address != self._model_read:
            return
        self.status.clear()
        if info is None:
            self._model_problem = problem
            self._tell(problem)
            return
        self.structures.clear()
        for structure in info.structures:
            item = QListWidgetItem(structure, self.structures)
            item.setCheckState(Qt.CheckState.Checked)
        device = self.device.currentText()
        self.device.clear()
        self.device.addItems(devices)
        self.device.setCurrentText(device)

    # The prediction

    def _job(self) -> "Job":
        """Return what is to be predicted.

        Raises
        ------
        InputError
            Something is not chosen, or can't be used.
        """
        from ssp_model.napari_plugin.prediction import Job

        layer, axes = self._chosen_layer(), self._chosen_axes()
        if self._model_problem:
            raise InputError(self._model_problem)
        if layer is None:
            raise InputError("No layer is chosen; open an image of transmitted light.")
        refuse_unusable(layer)
        if axes is None:
            raise InputError(f"{title(layer.name)} does not tell what its axes are; choose it under 'It holds'.")
        if self.channel.currentText() == CHOOSE:
            raise InputError(f"{title(layer.name)} has several channels; choose that of the transmitted light.")
        source = LayerSource.of(layer, axes)
        items = [self.structures.item(row) for row in range(self.structures.count())]
        return Job(
            source=source,
            channel=int(self.channel.currentText()),
            model=self._model_read,
            structures=tuple(item.text() for item in items if item.checkState() == Qt.CheckState.Checked),
            voxel_size_um=_read_sizes(self.voxel_size.text(), source.pixel_size.um),
            overlap=self.overlap.value(),
            device=self.device.currentText(),
        )

    def _start(self) -> None:
        try:
            job = self._job()
        except InputError as error:
            self._tell(str(error))
            return
        self.predict.setEnabled(False)
        self.cancel.setEnabled(True)
        self.status.setText("loading the model ...")
        self._running = RunningJob(self._viewer, job)
        self._running.progressed.connect(self.status.setText)
        self._running.ended.connect(self._end)
        self._running.start()

    def _stop(self) -> None:
        if self._running:
            self.status.setText("stopping ...")
            self._running.stop()

    def _tell(self, problem: str) -> None:
        show_error(problem)
        self.status.setText(problem)

    def _may_start(self) -> None:
        self.predict.setEnabled(self._running is None)

    def _end(self, outcome: str) -> None:
        self._running = None
        self._may_start()
        self.cancel.setEnabled(False)
        self.status.setText(outcome)


def _describe(address: str) -> "tuple[str, ModelInfo | None, list[str], str]":
    """Return an address, what the model says of itself, the devices, and why it can't be used."""
    # torch takes seconds to import
    from ssp_model.napari_plugin.prediction import describe_model

    try:
        info, devices = describe_model(address)
    except InputError as error:
        return address, None, [], str(error)
    return address, info, devices, ""


def _may_be_input(layer: Any) -> bool:
    """Whether a layer is an image and no prediction."""
    return isinstance(layer, Image) and PROJECT_KEY not in layer.metadata


def _problem(layer: Any) -> str:
    """Return why a layer can't be used; empty if it can."""
    try:
        if layer is not None:
            refuse_unusable(layer)
    except InputError as error:
        return str(error)
    return ""


def _sizes_text(sizes_um: Sizes) -> str:
    """Write a voxel size, Z, Y, X, with ? for what is not known; nothing if nothing is."""
    return " ".join(f"{size:g}" if size else "?" for size in sizes_um) if any(sizes_um) else ""


def _read_sizes(text: str, of_layer: Sizes) -> Sizes | None:
    """Read a voxel size as it is written; None if it is that of the layer.

    Raises
    ------
    InputError
        It is not three lengths.
    """
    if text.strip() == _sizes_text(of_layer):
        return None
    try:
        z, y, x = (None if word == "?" else float(word) for word in text.split())
        if all(size is None or 0 < size < float("inf") for size in (z, y, x)):
            return z, y, x
    except ValueError:
        pass
    raise InputError(
        f"The voxel size is {text!r} but should be three lengths in um, Z Y X, such as 0.29 0.11 0.11; ? is a length "
        "that is not known."
    )
