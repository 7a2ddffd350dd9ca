"""What the tests in a viewer share."""

import re
from collections.abc import Callable
from pathlib import Path


def checks_of(file: str) -> list[str]:
    """Names of the tests in a file of this folder."""
    return re.findall(r"^def (test_\w+)", (Path(__file__).parent / file).read_text(), re.MULTILINE)


def wait_until(condition: Callable[[], object]) -> None:
    """Let Qt work until something is so."""
    from qtpy.QtCore import QEventLoop, QTimer
    from qtpy.QtWidgets import QApplication

    # wakes the loop, as not all that is waited for is an event of Qt
    timer = QTimer()
    timer.start(10)
    while not condition():
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)


def choose_model(widget, path) -> None:
    widget.model.setText(str(path))
    widget.model.editingFinished.emit()
    wait_until(lambda: "reading" not in widget.status.text())


def predict(widget) -> None:
    widget.predict.click()
    wait_until(widget.predict.isEnabled)


def told() -> list[str]:
    """What napari has told the user, such as `ERROR: ...`."""
    from napari.utils.notifications import notification_manager

    return [str(record) for record in notification_manager.records]
