"""The event log of a training: JSON lines that survive a resume without gaps or repeats."""

import json
import os
from pathlib import Path
from typing import Any


class EventLog:
    """JSON lines of what happened; after a resume it is cut back to where the state was saved."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, length: int) -> None:
        """Open, keeping the first `length` bytes."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+", encoding="utf-8")
        if self.path.is_file():
            self._file.truncate(length)
            self._file.seek(0, os.SEEK_END)

    def write(self, event: dict[str, Any]) -> None:
        """Add a line."""
        self._file.write(json.dumps(event) + "\n")

    def flush(self) -> int:
        """Bring all lines to the disk; returns the length in bytes."""
        self._file.flush()
        if not self.path.is_file():
            return 0
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """The last line is written."""
        self._file.close()
