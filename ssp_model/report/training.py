"""The page of a training."""

from pathlib import Path

import pandas as pd

from ssp_model.figures.training import plot_gates, plot_history, plot_speed
from ssp_model.log import duration
from ssp_model.report.html import figure, heading, table, write_page


def training_page(model_path: str | Path, history_path: str | Path, page: str | Path) -> None:
    """How a training went; its figures are written beside the page, in `training/`, as PNG and SVG.

    Parameters
    ----------
    model_path, history_path : path
        Model file and history of a training.
    page : path
        HTML file to write.
    """
    # the other pages do without torch, which takes seconds to import
    from ssp_model.models.model_file import load_model

    history = pd.read_csv(history_path)
    model, info = load_model(model_path)
    folder = Path(page).with_suffix("")
    plot_history(history, folder / "loss.png")
    gates = dict(model.inspect()["gates"]["weights"])
    plot_gates(gates, info.structures, folder / "gates.png")
    plot_speed(history, folder / "speed.png")
    steady = history.iloc[1:] if len(history) > 1 else history
    facts = {
        "network": f"{info.method}, {sum(p.numel() for p in model.parameters()):,} parameters",
        "structures": ", ".join(info.structures),
        "epochs": f"{len(history)}, the model of epoch {info.training['epoch']} was kept",
        "time in training steps": duration(history.seconds.sum()),
        "throughput": f"{steady.crops_per_s.median():.1f} crops a second (median)",
        "peak memory": f"{history.peak_memory_mb.max() / 1024:.1f} GiB",
        "seed": str(info.training["seed"]),
    }
    write_page(
        page,
        "Training",
        "One network for all structures, trained on random crops that are each labelled for one structure.",
        [
            table(pd.DataFrame({"what": facts.keys(), "this training": facts.values()})),
            heading("Loss"),
            figure(
                folder / "loss.svg",
                "Mean squared error on random crops of the training images and on whole validation images; intensities "
                "are standardised, so 1 is what predicting the mean everywhere would give. The model of lowest "
                "validation error was kept. Crops are harder or easier from epoch to epoch, so the training curves are "
                "restless; those by structure are running means. Structures differ in how predictable they are: "
                "compare a curve with its own past, not with another structure's.",
                "Loss curves of training and validation",
            ),
            heading("Experts"),
            figure(
                folder / "gates.png",
                "How much each structure (row) relies on each expert (column), in each convolution from the input to "
                "the output. White is an equal share, orange more, purple less. Rows that differ show where the "
                "network treats structures differently. A weight says nothing about the size of an expert's own "
                "kernel, so a low one does not mean that an expert is useless.",
                "Gate weights of the five experts, by structure and convolution",
            ),
            heading("Speed and memory"),
            figure(
                folder / "speed.svg",
                "Measured while training, waiting for data included and validation left out. Memory is that of the "
                "GPU, or of the process where there is none.",
                "Throughput, memory and learning rate by epoch",
            ),
        ],
    )
