"""A prediction that runs in a thread of napari: its progress, how it is stopped, and the layers that it adds."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from napari.layers import Layer
from napari.qt.threading import create_worker
from napari.utils import cancelable_progress
from napari.utils.notifications import show_error, show_info, show_warning
from qtpy.QtCore import QObject, Signal

from ssp_model.errors import InputError
from ssp_model.log import counted

if TYPE_CHECKING:
    from ssp_model.napari_plugin.prediction import Job, LayerData


class RunningJob(QObject):
    """A prediction in a viewer. It goes on if the widget that started it is closed.

    Parameters
    ----------
    viewer : Viewer
    job : Job

    Attributes
    ----------
    progressed : signal (str)
        How far it is.
    ended : signal (str)
        What became of it. If it was stopped or failed, the layers that it had added are gone again.
    """

    progressed = Signal(str)
    ended = Signal(str)
    # from the thread of the prediction to that of the viewer
    _counted = Signal(int)
    _done = Signal(int)
    _warned = Signal(str)
    _running: ClassVar[set["RunningJob"]] = set()

    def __init__(self, viewer: Any, job: "Job") -> None:
        super().__init__()
        self._viewer, self._job = viewer, job
        self._layers: list[Any] = []
        self._selected = set(viewer.layers.selection)
        self._problem = ""
        self._is_whole = False
        self._num_windows = 0
        self._bar = cancelable_progress(total=0, desc=f"predict {job.source.name}")
        self._worker = create_worker(self._work)
        self._worker.yielded.connect(self._show)
        self._worker.finished.connect(self._end)
        self._counted.connect(self._set_total)
        self._done.connect(self._advance)
        self._warned.connect(self._warn)

    def start(self) -> None:
        """Start the thread."""
        self._running.add(self)
        self._worker.start()

    def stop(self) -> None:
        """Ask the prediction to stop; it does after the windows that are being predicted."""
        self._worker.quit()

    @property
    def _stop_is_wanted(self) -> bool:
        return self._worker.abort_requested or self._bar.is_canceled

    def _work(self) -> Iterator[list["LayerData"]]:
        """Predict, in the thread of the worker."""
        # torch takes seconds to import
        from ssp_model.napari_plugin.prediction import Listener, Stopped, predict_layer

        def check_stop() -> None:
            if self._stop_is_wanted:
                raise Stopped

        try:
            listener = Listener(self._counted.emit, self._done.emit, self._warned.emit, check_stop)
            yield from predict_layer(self._job, listener)
            self._is_whole = True
        except InputError as error:
            self._problem = str(error)
        except Stopped:
            pass

    def _set_total(self, num_windows: int) -> None:
        self._num_windows = self._bar.total = num_windows

    def _advance(self, done: int) -> None:
        self.progressed.emit(f"{done:,} of {counted(self._num_windows, 'window')}")
        self._bar.update(done - self._bar.n)

    def _warn(self, text: str) -> None:
        show_warning(text)

    def _show(self, layers: list["LayerData"]) -> None:
        """Add the layers with the first time point; the arrays of the next ones are the same."""
        if not self._layers:
            self._layers = [self._viewer.add_layer(Layer.create(*layer)) for layer in layers]
        for layer in self._layers:
            layer.refresh()

    def _end(self) -> None:
        self._running.discard(self)
        self._bar.close()
        if self._is_whole:
            self.ended.emit(f"{counted(len(self._layers), 'structure')} predicted")
            return
        self._remove_layers()
        if self._problem:
            show_error(self._problem)
            self.ended.emit(self._problem)
        elif self._stop_is_wanted:
            show_info("The prediction was stopped; no layer is added.")
            self.ended.emit("stopped")
        else:
            # an error of this program, which napari shows
            self.ended.emit("failed")

    def _remove_layers(self) -> None:
        if self._layers:
            for layer in set(self._layers) & set(self._viewer.layers):
                self._viewer.layers.remove(layer)
            self._viewer.layers.selection = self._selected & set(self._viewer.layers)
