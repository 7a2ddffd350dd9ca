"""The checked configuration, names used in several rules, and what is said at the end."""

import re
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError

PROJECT = Path(workflow.basedir)
# the package lies beside the Snakefile: found so to plan a run, and by jobs in environments of their own
sys.path.insert(0, str(PROJECT))

from ssp_model.config import PLACEMENT, parse_config
from ssp_model.errors import InputError
from ssp_model.provenance import failed_job_logs, let_jobs_import_package, source_digest

let_jobs_import_package()

try:
    CONFIG = parse_config(config)
except InputError as error:
    raise WorkflowError(str(error)) from None

DNA = CONFIG.dna.name if CONFIG.dna else None
STRUCTURES = sorted(CONFIG.structures)
SPLITS = ["train", "val", "test"]
STARTED = time.time()
MODEL = "results/models/{experiment}/seed-{seed}"
EVALUATION = "results/evaluation/{experiment}/seed-{seed}"
PREDICTIONS = "results/predictions/{experiment}/seed-{seed}"
# a model and images from elsewhere may be evaluated too
MODEL_FILE = CONFIG.evaluate.model or f"{MODEL}/model.safetensors"
TEST_SET = CONFIG.evaluate.test_set or "results/datasets/test.h5"
LEFT_OUT = expand("results/volumes/{s}.left_out.csv", s=STRUCTURES)
FIGURES = "results/report/{experiment}/seed-{seed}"

# one archive of raw images at a time, from download to conversion, and one job a GPU; a profile may allow more.
# Limits set in a profile alone would be lost with --resources on the command line.
for name, limit in {"raw_archives": 1, "gpu": 1}.items():
    if name not in workflow.global_resources:
        workflow.register_resource(name, limit)


wildcard_constraints:
    # no list of all names, which would be gone through for each file of each job: `download_list` has it
    structure=r"[\w-]+",
    split="|".join(SPLITS),
    # the runs of this configuration only: others that are there are read, never made
    experiment=re.escape(CONFIG.experiment),
    seed="|".join(map(str, CONFIG.seeds)),


def of_each_run(pattern):
    """A path for each seed of the experiment."""
    return expand(pattern, experiment=CONFIG.experiment, seed=CONFIG.seeds)


def finished_runs(wildcards):
    """Scores of the runs of this configuration, and of all that are there from others."""
    there = map(str, Path("results/evaluation").glob("*/seed-*/overall.csv"))
    return sorted({*of_each_run(f"{EVALUATION}/overall.csv"), *there})


def section(name):
    """A section of the checked configuration, as plain values for params."""
    value = getattr(CONFIG, name)
    return value.model_dump() if value else None


def preprocess_values():
    """How images are resized; what becomes of bad ones does not change the others."""
    return CONFIG.preprocess.model_dump(exclude={"on_bad_image"})


def train_values():
    """How a model is trained; where it is computed does not change it."""
    return CONFIG.train.model_dump(exclude=PLACEMENT)


def training_memory(wildcards, input):
    """What a training needs, in MB; images kept in memory come on top, once a process."""
    kept = input.size_mb * CONFIG.train.devices if CONFIG.train.cache == "memory" else 0
    return 16000 + int(kept)


def address_of(kind, structure):
    """Where an archive or an image list is."""
    return getattr(CONFIG.collection, kind).replace("{structure}", structure)


def sha256_of(kind, structure):
    """Its checksum, where the configuration has one."""
    return CONFIG.collection.sha256.get(address_of(kind, structure))


def split_lists(task):
    """The train, val and test lists of a task."""
    return [f"results/splits/{task}/{split}.csv" for split in SPLITS]


def left_out_lists(wildcards):
    """Images that turned out unusable; only when they are skipped must the splits wait for the conversion."""
    names = STRUCTURES if wildcards.get("structure", DNA) == DNA else [wildcards.structure]
    return expand("results/volumes/{s}.left_out.csv", s=names) if CONFIG.preprocess.on_bad_image == "skip" else []


def say(text):
    """Tell the person at the terminal."""
    print(text, file=sys.stderr)


def tell_success():
    for path in map(Path, of_each_run(f"{EVALUATION}/overall.csv")):
        if path.exists() and path.stat().st_mtime >= STARTED:
            header, over_images, *_ = (line.split(",") for line in path.read_text().splitlines())
            scores = dict(zip(header, over_images))
            shown = ", ".join(f"{name} {float(scores[name]):.4g}" for name in ("r2", "mse", "mae"))
            say(f"{path}: {shown} over {scores['images']} test images")
            say("Write the report with the same command and: --report report.html")


def tell_error(snakemake_log):
    for path in failed_job_logs(snakemake_log):
        say(f"\nThis job failed: {path}")
        # the last lines say why; all of them are in the file
        say("\n".join(Path(path).read_text().splitlines()[-12:]))
