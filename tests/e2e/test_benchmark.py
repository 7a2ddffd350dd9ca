"""A benchmark of a few experiments on tiny data, from images to its page."""

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from ssp_model.data.dataset import Dataset
from ssp_model.models.model_file import load_model, read_info
from tests.helpers import snakemake, tiny

pytestmark = pytest.mark.slow
STRUCTURES = ("dna", "fibrillarin", "tom20")
CELLS = {
    *("repmode", "multi_net", "repmode_sigmoid_gate"),
    *("repmode_extended_fibrillarin", "multi_head_decoder_extended_fibrillarin"),
}


def configured(simulated: Path) -> dict:
    config = tiny(f"{simulated}/{{structure}}.tar.gz", f"{simulated}/lists/{{structure}}.csv")
    cells = {"methods": ["repmode", "multi_net"], "ablations": ["sigmoid_gate"], "increments": ["fibrillarin"]}
    return config | {"benchmark": cells, "tracking": {"wandb": "disabled"}}


@pytest.fixture(scope="module")
def benchmark(simulated, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    ran = snakemake(folder, configured(simulated), "benchmark")
    assert ran.returncode == 0, ran.said
    return folder / "results"


@pytest.fixture
def copied(benchmark, tmp_path) -> Path:
    return shutil.copytree(benchmark.parent, tmp_path / "run", symlinks=True)


def test_every_cell_has_scores_and_costs(benchmark):
    assert {path.name.removeprefix("tiny-") for path in (benchmark / "evaluation").iterdir()} == CELLS
    assert {path.stem.removeprefix("tiny-") for path in (benchmark / "costs").iterdir()} == CELLS
    for cell in CELLS:
        scores = pd.read_csv(benchmark / f"evaluation/tiny-{cell}/seed-0/per_image.csv")
        assert set(scores.structure) == ({"fibrillarin"} if "extended" in cell else set(STRUCTURES))
    # the own experiment is not part of it
    assert not (benchmark / "models/tiny").exists()


def test_the_page_shows_them(benchmark):
    page = (benchmark / "report/benchmark.html").read_text()
    for title in ("RepMode", "Multi-Net", "Sigmoid gate"):
        assert title in page
    table = pd.read_csv(benchmark / "report/benchmark.csv")
    assert set(table.experiment.str.removeprefix("tiny-")) == CELLS


def test_networks_trained_alone_are_one_model(benchmark):
    run = benchmark / "models/tiny-multi_net/seed-0"
    network, info = load_model(run / "model.safetensors")
    assert info.structures == STRUCTURES
    x = torch.randn(1, 1, 16, 32, 32)
    for task, structure in enumerate(STRUCTURES):
        part, told = load_model(run / "structures" / structure / "model.safetensors")
        assert told.structures == (structure,)
        assert info.training["parts"][structure]["val_mse"] == told.training["val_mse"]
        assert torch.equal(network.specialise(task)(x), part.specialise(0)(x))
    history = pd.read_csv(run / "history.csv")
    assert history.epoch.tolist() == [1, 2]
    with Dataset(benchmark / "datasets/val.h5") as val_set:
        samples = val_set.index.task.value_counts()
    mean = sum(history[f"val_mse_{name}"] * samples[name] for name in STRUCTURES) / samples.sum()
    np.testing.assert_allclose(history.val_mse.iloc[-1], mean.iloc[-1])


@pytest.mark.parametrize("method", ["repmode", "multi_head_decoder"])
def test_an_extended_model_predicts_what_it_knew_as_before(benchmark, method):
    before, after = (
        load_model(benchmark / f"models/tiny-{method}_{step}_fibrillarin/seed-0/model.safetensors")
        for step in ("without", "extended")
    )
    assert before[1].structures == ("dna", "tom20")
    assert (after[1].structures, after[1].added) == (("dna", "tom20", "fibrillarin"), 1)
    x = torch.randn(1, 1, 16, 32, 32)
    for task in range(2):
        assert torch.equal(before[0].specialise(task)(x), after[0].specialise(task)(x))


def test_it_goes_on_where_it_ended(copied, simulated):
    assert "Nothing to be done" in snakemake(copied, configured(simulated), "benchmark").said
    config = configured(simulated)
    config["benchmark"]["methods"].append("condnet")
    ran = snakemake(copied, config, "benchmark")
    assert ran.returncode == 0, ran.said
    # three structures and their summary, the training, its costs, the page and the target
    assert "8 of 8 steps (100%) done" in ran.said
    assert "CondNet" in (copied / "results/report/benchmark.html").read_text()


def test_the_compare_page_shows_runs_not_networks_trained_alone(copied, simulated):
    """And no cell of the same config, which would be made again where it is out of date."""
    config = configured(simulated) | {"experiment": "other"}
    assert snakemake(copied, config, "compare").returncode == 0
    table = pd.read_csv(copied / "results/report/compare.csv")
    assert set(table.experiment) == {"other"} | {f"tiny-{cell}" for cell in CELLS}
    ran = snakemake(copied, configured(simulated), "compare", "-n")
    assert set(re.findall(r"Train (\S+) with seed", ran.said)) == {"tiny"}


def test_a_model_is_extended_by_the_workflow(copied, simulated):
    model = copied / "results/models/tiny-multi_head_decoder_without_fibrillarin/seed-0/model.safetensors"
    config = configured(simulated) | {"experiment": "extended"}
    config["train"] = config["train"] | {"extend": str(model)}
    ran = snakemake(copied, config, "evaluate", "results/report/extended/seed-0/training.html")
    assert ran.returncode == 0, ran.said
    info = read_info(copied / "results/models/extended/seed-0/model.safetensors")
    assert (info.method, info.structures) == ("multi_head_decoder", ("dna", "tom20", "fibrillarin"))
    scores = pd.read_csv(copied / "results/evaluation/extended/seed-0/per_structure.csv")
    assert set(scores.structure) == set(STRUCTURES)
    assert "learns one more structure" in (copied / "results/report/extended/seed-0/training.html").read_text()
