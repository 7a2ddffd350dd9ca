"""The page of a training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssp_model.figures.style import save
from ssp_model.figures.training import plot_gates, plot_history, plot_speed
from ssp_model.report.html import write_page
from ssp_model.report.runs import read_runs


def training_page(model_path: str | Path, history_path: str | Path, page: str | Path) -> None:
    """Write the page of a training: its losses, speed and memory, and what the network has to show of itself.

    Parameters
    ----------
    model_path, history_path : path
        Model file and history of a training.
    page : path
        HTML file to write. Its figures go to a folder beside it, with the same name.
    """
    # importing torch takes seconds: no other page needs it
    from ssp_model.models.model_file import load_model

    history = read_runs([history_path])
    network, info = load_model(model_path)
    folder = Path(page).with_suffix("")
    save(plot_history(history), folder / "loss.png")
    save(plot_speed(history), folder / "speed.png")
    method, settings, inspected = network.title, info.settings, network.inspect()
    write_page(
        page,
        "training.html.j2",
        experiment=history.experiment[0],
        seed=history.seed[0],
        method=method,
        settings=settings,
        num_parameters=sum(parameter.numel() for parameter in network.parameters()),
        structures=info.structures,
        num_epochs=len(history),
        how="alone" if "parts" in info.training else "extended" if "extends" in info.training else "together",
        kept=kept_model(info.training),
        training_s=history.seconds.sum(),
        # the first epoch is slower: libraries warm up
        crops_per_s=history.crops_per_s.iloc[1 if len(history) > 1 else 0 :].median(),
        peak_memory_gib=history.peak_memory_mb.max() / 1024,
        loss=folder / "loss.svg",
        gates=draw_gates(inspected, info.structures, folder / "gates.png"),
        speed=folder / "speed.svg",
    )


def kept_model(training: Mapping[str, Any]) -> str:
    """Say which model was kept; of structures that were trained alone, which of each."""
    if "parts" not in training:
        return f"the model of epoch {training['epoch']} was kept"
    epochs = ", ".join(f"{structure} {part['epoch']}" for structure, part in training["parts"].items())
    return f"each structure was trained alone, and these epochs were kept: {epochs}"


def draw_gates(inspected: Mapping[str, Any], structures: Sequence[str], path: Path) -> Path | None:
    """Draw how much each structure uses each expert, if the network has experts.

    Parameters
    ----------
    inspected : mapping
        What the network's `inspect()` returns. Its entry `gates` holds the names of the `experts`, and the `weights` of
        each convolution, (T, E).
    structures : sequence of str
        In the order of T.
    path : path
        Picture to write.

    Returns
    -------
    path, or None if there are no gates.
    """
    if "gates" not in inspected:
        return None
    gates = inspected["gates"]
    save(plot_gates(gates["weights"], gates["experts"], structures), path)
    return path
