"""The page of a benchmark."""

import re
import subprocess
import sys
from html import unescape
from itertools import count

import numpy as np
import pandas as pd
import pytest

from ssp_model.errors import InputError
from ssp_model.report.benchmark import benchmark_page, from_to
from ssp_model.report.benchmark_results import Entry
from ssp_model.report.published import PUBLISHED_ARCHIVES, PUBLISHED_NAMES
from tests.helpers import PROJECT

STRUCTURES = ("dna", "fibrillarin", "zo1")
METHODS = (
    Entry("x-repmode", "method", "RepMode", "repmode"),
    Entry("x-condnet", "method", "CondNet", "condnet"),
    Entry("x-multi_net", "method", "Multi-Net", "multi_net"),
)
ABLATION = Entry("x-repmode_sigmoid", "ablation", "Sigmoid gate", "repmode", published=(0.4992, 0.4094, 0.4698))
BEFORE = Entry("x-before", "increment", "RepMode without fibrillarin", "repmode", structures=("dna", "zo1"))
EXTENDED = Entry(
    "x-after", "increment", "RepMode, extended", "repmode", structures=("fibrillarin",), extends="x-before"
)
MSE = {
    "x-repmode": 0.4,
    "x-condnet": 0.5,
    "x-multi_net": 0.6,
    "x-repmode_sigmoid": 0.45,
    "x-before": 0.4,
    "x-after": 0.7,
}


@pytest.fixture
def make(tmp_path):
    """Writes the page of experiments, whose images have about the scores of `MSE`."""
    numbers = count()

    def write(*entries, seeds=2, images=8, means=MSE, costs=True, images_from="here", structures=STRUCTURES):
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        rng = np.random.default_rng(0)
        hard = {structure: rng.normal(0, 0.05, images) for structure in structures}
        scores, histories, measured = [], [], []
        for entry in entries:
            for seed in range(seeds if isinstance(seeds, int) else seeds[entry.name]):
                run = {"experiment": entry.name, "seed": seed}
                for structure in (entry.structures if entry is BEFORE else None) or structures:
                    mse = means[entry.name] + hard[structure] + rng.normal(0, 0.001, images) + 0.001 * seed
                    rows = {**run, "structure": structure, "image": [f"{structure}/{i}.czi" for i in range(images)]}
                    rest = dict.fromkeys(("pearson", "ssim", "psnr"), 0.5)
                    scores.append(pd.DataFrame({**rows, "mse": mse, "mae": mse / 2, "r2": 1 - mse, **rest}))
                history = {**run, "epoch": [1, 2], "seconds": [60.0, 240.0], "peak_memory_mb": [900, 1024]}
                histories.append(pd.DataFrame(history))
            cost = {"parameters": 1234567, "gmac_training": 1.5, "gmac_prediction": 1.25, "predict_s": 0.0125}
            place = {"predict_mib": 10.0, "device": "CPU, 2 threads", "precision": "float32"}
            row = {"experiment": entry.name, "method": entry.method, "title": entry.title, **cost, **place}
            measured.append(pd.DataFrame([row]))
        paths: dict[str, list] = {"scores": [], "histories": [], "costs": []}
        for name, tables in (("scores", scores), ("histories", histories), ("costs", measured)):
            for number, table in enumerate(tables if costs or name == "scores" else []):
                table.to_csv(folder / f"{name}-{number}.csv", index=False)
                paths[name].append(folder / f"{name}-{number}.csv")
        benchmark_page(
            entries,
            *paths.values(),
            images_from=images_from,
            csv=folder / "benchmark.csv",
            page=folder / "benchmark.html",
        )
        return Page(folder)

    return write


class Page:
    """What a page says."""

    def __init__(self, folder):
        self.folder = folder
        self.path = folder / "benchmark.html"
        self.html = self.path.read_text()
        self.text = unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", self.html.split("<h1>")[1])))
        self.csv = pd.read_csv(folder / "benchmark.csv")

    @property
    def heads(self):
        return re.findall(r"<h[23]>(.*?)</h[23]>", self.html)

    def section(self, head):
        return self.html.split(f">{head}</h")[1].split("<h2>")[0].split("<h3>")[0]

    def rows(self, head):
        """Texts of the first table of a section: a list a row, with the heads first."""
        table = self.section(head).split("</table>")[0]
        cells = r"<t[hd][^>]*>(.*?)</t[hd]>"
        rows = [re.findall(cells, row) for row in re.findall(r"<tr[^>]*>(.*?)</tr>", table)]
        return [[unescape(re.sub(r"<wbr>|<[^>]+>", "|", cell)).strip("|") for cell in row] for row in rows]


def test_the_whole_page(make, open_page):
    made = make(*METHODS, ABLATION, BEFORE, EXTENDED)
    assert made.heads == [
        "Methods",
        "MSE (lower is better)",
        "MAE (lower is better)",
        "R² (higher is better)",
        "Ablations of RepMode",
        "One more structure",
        "Costs",
        "Score against cost",
        "The published scores",
        "MSE (lower is better), published",
        "MAE (lower is better), published",
        "R² (higher is better), published",
    ]
    assert "RepMode has the lowest MSE over all images" in made.text
    assert "The next is CondNet" in made.text
    assert "The difference holds" in made.text
    assert "All experiments were scored on the same 24 test images" in made.text
    assert "Each was trained with 2 seeds, for 2 epochs." in made.text
    assert "The published scores on this page are of other data" in made.text
    assert (made.folder / "benchmark/costs.svg").exists()
    page = open_page(made.path, 500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 500


def test_methods_stand_as_in_the_paper_and_the_best_are_marked(make):
    made = make(*METHODS)
    heads, *rows = made.rows("MSE (lower is better)")
    assert heads == ["method", "dna", "fibrillarin", "zo1", "all", "gain over Multi-Net", "spread over seeds"]
    assert [row[0] for row in rows] == ["Multi-Net", "CondNet", "RepMode"]
    shown = made.section("MSE (lower is better)")
    assert shown.count('<b class="best">') == shown.count('<b class="second">') == 4
    assert "4 of 4 columns have a mark" in shown
    marks = made.csv.groupby("title").mark.unique().map(list).to_dict()
    assert marks == {"RepMode": ["best"], "CondNet": ["second"], "Multi-Net": [np.nan]}
    everything = made.csv[made.csv.structure == "all"].set_index(["title", "metric"])
    repmode = everything.loc["RepMode", "mse"]
    assert repmode.gain == pytest.approx(100 * (1 - repmode["mean"] / everything["mean"]["Multi-Net", "mse"]))
    assert repmode.gain_low < repmode.gain < repmode.gain_high
    assert rows[2][5].startswith(f"+{repmode.gain:.2f} %")
    assert repmode.compared_with == "x-multi_net"
    assert repmode.difference == pytest.approx(-0.2, abs=0.01)
    assert (repmode.seeds, repmode.images) == (2, 24)


def test_equal_methods_have_no_mark(make):
    made = make(*METHODS, means=dict.fromkeys(MSE, 0.5))
    for metric in ("MSE (lower is better)", "MAE (lower is better)", "R² (higher is better)"):
        assert '<b class="' not in made.section(metric).split("</table>")[0]
        assert "No mark: the differences do not hold." in made.section(metric)
    assert "The difference does not hold" in made.text
    assert made.csv.mark.isna().all()


def test_one_seed_is_told(make):
    made = make(*METHODS, seeds=1)
    assert "Each experiment has one seed only." in made.text
    assert "spread over seeds" not in made.text
    assert "means over seeds" not in made.text
    some = make(*METHODS, seeds={"x-repmode": 1, "x-condnet": 3, "x-multi_net": 3})
    assert "what would change with another seed: RepMode." in some.text
    assert "Each was trained with 1 to 3 seeds" in some.text
    assert "one seed only" not in make(*METHODS, seeds=3).text


def test_with_too_few_images_nothing_holds(make):
    made = make(*METHODS, images=1)
    assert "too few images" in made.text
    assert made.csv.mark.isna().all()
    assert made.csv.low.isna().all()


def test_ablations_stand_beside_the_published(make):
    heads, full, sigmoid = make(*METHODS, ABLATION).rows("Ablations of RepMode")
    assert heads[:4] == ["variant", "MSE", "MSE − RepMode", "published MSE"]
    assert full[0] == "RepMode"
    assert full[2:4] == ["", "0.4956"]
    assert sigmoid[0] == "Sigmoid gate"
    assert sigmoid[2].startswith("+0.0498")
    assert sigmoid[3] == "0.4992|+0.0036"
    assert sigmoid[9] == "0.4698|-0.0037"


def test_a_worse_ablation_is_orange_and_a_better_is_blue(make):
    for mse, tints in ((0.45, ["rgb(250 228 204)"] * 3), (0.3, ["rgb(204 227 240)"] * 3), (0.4, [])):
        shown = make(*METHODS, ABLATION, means=MSE | {"x-repmode_sigmoid": mse}).section("Ablations of RepMode")
        assert re.findall(r'style="background:([^"]*)"', shown) == tints


def test_increments_are_compared_with_learning_alone(make):
    made = make(*METHODS, BEFORE, EXTENDED)
    heads, *rows = made.rows("One more structure")
    assert heads[:5] == ["new structure", "learnt by", "MSE", "MSE − alone", "published MSE"]
    assert [row[1] for row in rows] == ["Multi-Net, alone", "RepMode, extended", "RepMode, all structures together"]
    assert {row[0] for row in rows} == {"fibrillarin"}
    assert [row[4] for row in rows] == ["0.2164", "0.2052", "0.1995"]
    assert rows[1][3].startswith("+0.1")
    alone = made.csv[(made.csv.structure == "fibrillarin") & (made.csv.metric == "mse")].set_index("experiment")
    assert rows[1][2] == f"{alone['mean']['x-after']:.4f}"
    # the model before has no score of all
    assert made.csv[made.csv.experiment == "x-before"].structure.unique().tolist() == ["dna", "zo1"]


def test_a_new_structure_that_the_paper_lacks(make):
    before = Entry("x-before", "increment", "before", "repmode", structures=("dna", "fibrillarin"))
    after = Entry("x-after", "increment", "after", "repmode", extends="x-before")
    made = make(*METHODS, after, before)
    rows = made.rows("One more structure")
    assert [row[4] for row in rows[1:]] == ["", "", ""]
    assert rows[2][:2] == ["zo1", "after"]


def test_costs(make):
    heads, *rows = make(*METHODS, ABLATION).rows("Costs")
    assert heads[:3] == ["experiment", "kind", "parameters"]
    assert [row[0] for row in rows] == ["Multi-Net", "CondNet", "RepMode", "Sigmoid gate"]
    assert rows[0][1:] == ["method", "1,234,567", "1.5", "1.25", "12.5 ms", "10", "5 min 00 s", "1,024"]
    assert "Predictions were measured on CPU, 2 threads in float32." in make(*METHODS).text


def test_without_costs(make):
    made = make(*METHODS, costs=False)
    assert "Costs" not in made.heads
    assert "Score against cost" not in made.heads
    assert "Each was trained with 2 seeds." in made.text
    assert (made.folder / "benchmark").is_dir()


@pytest.mark.parametrize(
    ("entries", "left_out"),
    [
        (METHODS[:1], {"Ablations of RepMode", "One more structure"}),
        ((ABLATION,), {"Methods", "One more structure", "Score against cost"}),
        ((METHODS[1], ABLATION), {"One more structure"}),
        ((BEFORE, EXTENDED), {"Methods", "Ablations of RepMode", "Score against cost"}),
        ((METHODS[2], EXTENDED), {"Ablations of RepMode", "One more structure"}),
    ],
)
def test_parts_of_a_benchmark(make, entries, left_out):
    sections = {"Methods", "Ablations of RepMode", "One more structure", "Costs", "Score against cost"}
    assert sections - set(make(*entries).heads) == left_out


def test_experiments_without_scores_are_left_out(make, tmp_path):
    made = make(METHODS[0], METHODS[2])
    files = [sorted(made.folder.glob(f"{name}-*.csv")) for name in ("scores", "histories", "costs")]
    again = tmp_path / "again"
    benchmark_page(METHODS, *files, images_from="here", csv=again / "benchmark.csv", page=again / "benchmark.html")
    assert [row[0] for row in Page(again).rows("MSE (lower is better)")[1:]] == ["Multi-Net", "RepMode"]


def test_scores_of_other_experiments_do_not_count(make, tmp_path):
    made = make(METHODS[0], BEFORE)
    scores = sorted(made.folder.glob("scores-*.csv"))
    benchmark_page([BEFORE], scores, [], [], images_from="", csv=tmp_path / "a.csv", page=tmp_path / "a.html")
    table = pd.read_csv(tmp_path / "a.csv")
    # the structure that only the other was scored on is no part of all
    assert table.structure.unique().tolist() == ["dna", "zo1", "all"]
    assert set(table.experiment) == {"x-before"}


def test_without_any_scores_there_is_no_page(tmp_path):
    with pytest.raises(InputError, match=r"^None of the experiments of the benchmark \(x-repmode, x-condnet, x-multi"):
        benchmark_page(METHODS, [], [], [], images_from="", csv=tmp_path / "a.csv", page=tmp_path / "a.html")


def test_the_published_collection_is_told_from_other_data(make):
    same = make(METHODS[0], structures=tuple(PUBLISHED_NAMES), images_from=PUBLISHED_ARCHIVES + "{structure}.tar.gz")
    assert "other data" not in same.text
    assert "other images" not in same.text
    some = make(METHODS[0], images_from=PUBLISHED_ARCHIVES + "{structure}.tar.gz")
    assert "other data" in some.text


def test_the_published_table_is_on_the_page(make):
    _, *rows = make(METHODS[0]).rows("MSE (lower is better), published")
    assert [row[0] for row in rows] == [
        "Multi-Net", "Multi-Head-Dec", "Multi-Head-Las", "CondNet", "TSNs", "PIPO-FAN", "DoDNet", "TGNet", "RepMode",
    ]  # fmt: skip
    assert rows[-1][1] == "0.3389"
    assert rows[-1][-2:] == ["0.4956", "+7.21 %"]


def test_how_many_are_written():
    assert from_to([3, 3], "seed") == "3 seeds"
    assert from_to([1, 3], "seed") == "1 to 3 seeds"
    assert from_to([1000], "epoch") == "1,000 epochs"
    assert from_to([], "epoch") == ""


def test_the_page_starts_without_heavy_libraries():
    code = "import ssp_model.report.benchmark, sys; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert set(modules.stdout.split()) & {"torch", "scipy", "matplotlib.pyplot"} == set()
