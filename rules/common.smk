"""The checked configuration, names used in several rules, and what is said at the end."""

import math
import os
import re
import shlex
import shutil
import sys
import time
from collections import defaultdict
from functools import cache
from pathlib import Path

from snakemake.io import apply_wildcards
from snakemake.logging import logger
from snakemake.persistence import file as file_persistence
from snakemake.settings.types import DeploymentMethod
from snakemake.utils import listfiles

PROJECT = Path(workflow.basedir)
# the package lies beside the Snakefile: found so to plan a run, and by jobs in environments of their own
sys.path.insert(0, str(PROJECT))
# a profile has imported the one that is installed, which may be that of another clone
installed = sys.modules.get("ssp_model")
if installed and Path(installed.__file__).parent != PROJECT / "ssp_model":
    for name in [name for name in sys.modules if name.partition(".")[0] == "ssp_model"]:
        del sys.modules[name]

from ssp_model.collection.samples import read_samples
from ssp_model.collection.tabulate import checksum, first_structures, samples_of_images, structures_of
from ssp_model.config.matrix import check_matrix, matrix, own_experiment
from ssp_model.config.read import parse_config, read_yaml
from ssp_model.config.schema import TrainConfig
from ssp_model.devices import has_gpu
from ssp_model.errors import InputError
from ssp_model.evaluation.given import check_given_files
from ssp_model.log import what_no_log_says
from ssp_model.models.address import parse_address
from ssp_model.nn.methods import METHODS
from ssp_model.prediction.requests import batches
from ssp_model.provenance import failed_job_logs, let_jobs_import_package, source_digest

let_jobs_import_package()

# Snakemake writes this path into command lines as it is, also where it has a space
if not sys.executable.startswith("'"):
    sys.executable = shlex.quote(sys.executable)

# Snakemake takes the absolute path of its folder of locks for a pattern, in which braces have a meaning
if "{" in os.getcwd():
    file_persistence.listfiles = lambda pattern: listfiles(os.path.relpath(pattern))


def refuse(error):
    """End with the sentence of an error. Snakemake would add lines of this file to that of an exception."""
    logger.error(str(error))
    raise SystemExit(1)


# first of all: Snakemake would name no line, and silently take the last of a key that is given twice
if workflow.is_main_process:
    try:
        for path in [PROJECT / "config.yaml", *workflow.overwrite_configfiles]:
            read_yaml(path)
    except InputError as error:
        refuse(error)


configfile: workflow.source_path("../config.yaml")


try:
    CONFIG = parse_config(config)
    if workflow.is_main_process:
        check_given_files(CONFIG)
    # a lab's own table of samples, in place of archives and image lists
    OWN = read_samples(CONFIG.collection.samples) if CONFIG.collection.samples else None
    STRUCTURES = structures_of(OWN, CONFIG.structures) if OWN is not None else sorted(CONFIG.structures)
except InputError as error:
    refuse(error)

CONFIG = CONFIG.model_copy(update={"structures": tuple(STRUCTURES)})
DNA = CONFIG.dna.name if CONFIG.dna else None
OWN_EXPERIMENT = own_experiment(CONFIG)
# those of the benchmark train models of their own
CELLS = {} if CONFIG.evaluate.model else {experiment.name: experiment for experiment in matrix(CONFIG)}
EXPERIMENTS = {OWN_EXPERIMENT.name: OWN_EXPERIMENT, **CELLS}
# the volumes of an image are in the file of its archive's structure, or of its first structure in the own table
SOURCE_OF = {} if OWN is None else first_structures(OWN, STRUCTURES)
SOURCES = STRUCTURES if OWN is None else sorted(set(SOURCE_OF.values()))
SPLITS = ["train", "val", "test"]
STARTED = time.time()
MODEL = "results/models/{experiment}/seed-{seed}"
PART = f"{MODEL}/structures/{{structure}}"
EVALUATION = "results/evaluation/{experiment}/seed-{seed}"
PREDICTIONS = "results/predictions/{experiment}/seed-{seed}"
IMAGES = f"{PREDICTIONS}/images"
HISTORY = f"{MODEL}/history.csv"
OVERALL = f"{EVALUATION}/overall.csv"
# a prediction with the spread over seeds is that of all seeds at once
ALL_SEEDS = "all"
UNCERTAIN_RUNS = [ALL_SEEDS] if CONFIG.predict.uncertainty in ("seeds", "both") else CONFIG.seeds
LEFT_OUT = expand("results/volumes/{s}.left_out.csv", s=SOURCES)
FIGURES = "results/report/{experiment}/seed-{seed}"
# Snakemake formats the whole path, so braces in it are doubled
ENVIRONMENT = f"{PROJECT}/envs/ssp.yaml".replace("{", "{{").replace("}", "}}")


def in_store(address):
    """Whether an address is that of an object in S3."""
    return address.startswith("s3://")


def given(address):
    """A file that the configuration names: an object in S3, or a file of this machine, wherever results are kept."""
    if in_store(address):
        return storage(address)
    # Snakemake takes braces in the path of an input for the name of a wildcard; where it runs, they are not needed
    path = os.path.relpath(address) if "{" in address else address
    if "{" in path:
        refuse(f"{address} can't be used, as there are braces in its path; move it, or give a link without braces.")
    return local(path)


def given_model(address):
    """A model that the configuration names: fetched before, if its checksum is given."""
    sha256 = parse_address(address).sha256
    # the checksum tells the model, so it need not be used again when it was fetched again
    return ancient(GIVEN_MODEL.format(sha256=sha256)) if sha256 else given(address)


GIVEN_MODEL = "results/given_models/{sha256}/model.safetensors"
# the address of each, by its checksum
GIVEN_MODELS = {
    source.sha256: source.text
    for source in map(parse_address, filter(None, [CONFIG.evaluate.model, CONFIG.train.extend]))
    if source.sha256
}
# a model and images from elsewhere may be evaluated too
MODEL_FILE = given_model(CONFIG.evaluate.model) if CONFIG.evaluate.model else f"{MODEL}/model.safetensors"
TEST_SET = given(CONFIG.evaluate.test_set) if CONFIG.evaluate.test_set else "results/datasets/test.h5"

IMAGE = f"{PROJECT}/envs/ssp.sif"
IN_CONTAINERS = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
if IN_CONTAINERS and " " in IMAGE:
    refuse(f"{IMAGE} can't be used: Snakemake wants an image whose path has no space; move the project's folder.")

# one archive of raw images at a time, from download to conversion, and one job a GPU; a profile may allow more.
# Limits set in a profile alone would be lost with --resources on the command line. What a scheduler has given a job
# is not limited again there. Without a GPU, only the cores limit how many jobs run.
if workflow.is_main_process:
    for name, limit in {"raw_archives": 1, "gpu": 1 if has_gpu() else os.cpu_count()}.items():
        if name not in workflow.global_resources:
            workflow.register_resource(name, limit)


def any_of(names):
    """A pattern that matches any of some names; nothing if there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


SEED_OR_ALL = any_of([*map(str, CONFIG.seeds), ALL_SEEDS])


wildcard_constraints:
    # no list of all names, which would be gone through for each file of each job: `download_list` has it
    structure=r"[\w-]+",
    split="|".join(SPLITS),
    batch=r"\d{5}",
    # the runs of this configuration only, with those of its benchmark: others that are there are read, never made
    experiment=any_of(EXPERIMENTS),
    seed="|".join(map(str, CONFIG.seeds)),


def container_image(wildcards):
    """The image for `--sdm apptainer`, made from `envs/ssp.def`. A function, as braces in its path are no wildcards."""
    return IMAGE if IN_CONTAINERS else None


def methods_of(experiment):
    """The files of an experiment's method; a model from elsewhere may be of any method."""
    is_own, elsewhere = experiment == CONFIG.experiment, CONFIG.evaluate.model or CONFIG.train.extend
    names = METHODS if is_own and elsewhere else [EXPERIMENTS[experiment].model.method]
    return [f"nn.methods.{name}" for name in names]


@cache
def code_of(script, *modules):
    """A digest of a script and of all that it runs. A job runs again if it has changed.

    Snakemake itself looks at the time of the script. That changes with each checkout, and says nothing of the package.
    """
    return source_digest(*modules, script=Path(workflow.basedir, "workflow", "scripts", f"{script}.py"))


def code_with_method(script):
    """The same with the method of a job's experiment."""
    return lambda wildcards: code_of(script, *methods_of(wildcards.experiment))


def base_model(wildcards):
    """The model that an experiment extends, if it extends one."""
    extends = EXPERIMENTS[wildcards.experiment].extends
    if extends:
        return f"{MODEL}/model.safetensors".format(experiment=extends, seed=wildcards.seed)
    is_own = wildcards.experiment == CONFIG.experiment
    return given_model(CONFIG.train.extend) if is_own and CONFIG.train.extend else []


def scored_structures(experiment):
    """The structures that an experiment is scored on."""
    scored = EXPERIMENTS[experiment].scored
    if scored == ():
        raise WorkflowError(f"{experiment} is there to be extended, and not scored; ask for the one that extends it.")
    return CONFIG.tasks if scored is None else scored


# a network of width 8 with the smallest usual crops has about twice as many
SMALL = 2**17


def threads_of_network(wildcards):
    """Cores of a job with a network: one for a tiny network, which more make no faster."""
    voxels = math.prod(CONFIG.train.patch)
    return 8 if voxels * EXPERIMENTS[wildcards.experiment].model.width > SMALL else 1


def of_each_run(pattern):
    """A path for each seed of the experiment."""
    return expand(pattern, experiment=CONFIG.experiment, seed=CONFIG.seeds)


def runs_there(pattern):
    """The same path of all runs that are there, from this configuration and others.

    Not those of its benchmark: they would be made again where they are out of date.
    """
    place = str(Path(pattern).parents[2])
    folder, files = workflow.inputfile(place), None
    if folder.is_storage:
        stored = folder.storage_object
        # glob_wildcards itself does not list S3
        files = [place + item.key.removeprefix(stored.key) for item in stored.get_subkeys()] if stored.exists() else []
    # a name is that of one folder: networks that are trained alone have folders in those of their run
    one_folder = pattern.replace("{experiment}", "{experiment,[^/]+}").replace("{seed}", "{seed,[^/]+}")
    found = glob_wildcards(one_folder, files)
    runs = [run for run in zip(found.experiment, found.seed) if run[0] not in CELLS]
    return [pattern.format(experiment=experiment, seed=seed) for experiment, seed in runs]


def finished_runs(wildcards):
    """Scores of the runs of this configuration, and of all that are there from others."""
    return sorted({*of_each_run(OVERALL), *runs_there(OVERALL)})


def known_histories(wildcards):
    """How those runs were trained: of runs that are there only where that is known, as no run is made again for it."""
    scored = runs_there(OVERALL)
    runs = zip(of_each_run(OVERALL), of_each_run(HISTORY))
    to_be_made = [] if CONFIG.evaluate.model else [history for overall, history in runs if overall not in scored]
    return sorted({*to_be_made, *runs_there(HISTORY)})


def section(name):
    """A section of the checked configuration, as plain values for params."""
    value = getattr(CONFIG, name)
    return value.model_dump() if value else None


def preprocess_values():
    """How images are resized; what becomes of bad ones does not change the others."""
    return CONFIG.preprocess.model_dump(exclude={"on_bad_image"})


def window_values():
    """The sliding window; which images are predicted besides those of the test set does not change scores."""
    return CONFIG.predict.model_dump(include={"patch", "overlap", "flips"})


def scoring_values():
    """What is measured of test images."""
    return CONFIG.evaluate.model_dump(include={"panels", "objects"})


def scoring_of_structure(wildcards):
    """What is measured of a structure's test images; the settings of other structures don't change its scores."""
    values = scoring_values()
    return values | {"objects": {name: kind for name, kind in values["objects"].items() if name == wildcards.structure}}


def models_of_run(wildcards):
    """The model of a run, or those of all seeds; in any case a list."""
    if wildcards.seed == ALL_SEEDS:
        return expand(f"{MODEL}/model.safetensors", experiment=wildcards.experiment, seed=CONFIG.seeds)
    # one from elsewhere has no wildcards to fill in
    return [MODEL_FILE if CONFIG.evaluate.model else MODEL_FILE.format(**wildcards)]


def scores_of_models(wildcards):
    """The scores of a structure's images by the model of a run, or by those of all seeds."""
    seeds = CONFIG.seeds if wildcards.seed == ALL_SEEDS else [wildcards.seed]
    scores = f"{EVALUATION}/structures/{{structure}}.csv"
    return expand(scores, experiment=wildcards.experiment, seed=seeds, structure=wildcards.structure)


def of_uncertain_run(pattern):
    """A path for each scored structure, or for that of the job, in the run whose uncertainty a run shows.

    None without uncertainty.
    """

    def paths(wildcards):
        # where the model is from elsewhere, there may be no images to calibrate it on
        if CONFIG.predict.uncertainty is None or CONFIG.evaluate.model:
            return []
        seed = wildcards.seed if UNCERTAIN_RUNS == CONFIG.seeds else ALL_SEEDS
        experiment = wildcards.experiment
        structures = wildcards.get("structure") or scored_structures(experiment)
        return expand(pattern, experiment=experiment, seed=seed, structure=structures)

    return paths


def output_values():
    """How predictions of images are written."""
    return CONFIG.predict.model_dump(include={"grid", "format", "pixels"})


@cache
def image_batches():
    """The images to predict, so many for each job, as plain values."""
    predict = CONFIG.predict
    try:
        return batches(predict.images or (), predict.channel, predict.images_per_job)
    except InputError as error:
        raise WorkflowError(str(error)) from None


def images_of_batch(wildcards):
    """The images that one job predicts. When one of them changes, the job runs again."""
    return image_batches()[int(wildcards.batch)]


def prediction_tables(wildcards):
    """What became of the images of each job."""
    numbers = [f"{number:05d}" for number in range(len(image_batches()))]
    return expand(f"{IMAGES}/batch-{{batch}}.csv", batch=numbers, **wildcards)


def growing(base):
    """Memory in MB or time in minutes that a job asks for, once more at each further attempt."""
    return lambda wildcards, attempt: base * attempt


def address_of(kind, structure):
    """Where an archive or an image list is."""
    return getattr(CONFIG.collection, kind).replace("{structure}", structure)


def sha256_of(kind, structure):
    """Its checksum, where the configuration has one."""
    return CONFIG.collection.sha256.get(address_of(kind, structure))


def images_from(wildcards):
    """Where the scored images come from."""
    return CONFIG.evaluate.test_set or CONFIG.collection.samples or CONFIG.collection.archives


def stored_list(wildcards):
    """An image list that is in an object store."""
    address = address_of("lists", wildcards.structure)
    return storage(address) if in_store(address) else []


def fetched_archive(structure):
    """A structure's archive, where it is fetched before it is converted; else None. A folder is read in its place."""
    address = address_of("archives", structure)
    is_fetched = OWN is None and not in_store(address) and not Path(address).is_dir()
    return f"results/raw/{structure}.tar.gz" if is_fetched else None


def archive_to_convert(wildcards):
    """A structure's raw images: fetched first, or straight from where they are; none with an own table."""
    if OWN is not None:
        return []
    return fetched_archive(wildcards.structure) or given(address_of("archives", wildcards.structure))


def sha256_to_convert(wildcards):
    """The checksum of raw images that were not fetched, and so not checked, before."""
    archives = CONFIG.collection.archives
    return sha256_of("archives", wildcards.structure) if OWN is None and in_store(archives) else None


def again(wildcards):
    """What to add to the command to convert the images of a structure again."""
    made = f"results/lists/{wildcards.structure}.csv" if OWN is None else f"results/volumes/{wildcards.structure}.h5"
    return f"--forcerun {made}"


def images_of(source):
    """The images of the own table whose volumes are in one file."""
    return [image for image, its_source in SOURCE_OF.items() if its_source == source]


def samples_checksum(wildcards):
    """The samples of the own table that are converted together. The table's file is older than what a pattern matches."""
    return None if OWN is None else checksum(samples_of_images(OWN, wildcards.structure, STRUCTURES))


def own_images(source):
    """Its image files that are on this machine."""
    return [given(image) for image in images_of(source) if Path(image).exists()]


def stored_images(source):
    """Its images in an object store."""
    return [image for image in images_of(source) if in_store(image)]


def split_lists(task):
    """The train, val and test lists of a task."""
    return [f"results/splits/{task}/{split}.csv" for split in SPLITS]


def left_out_lists(wildcards):
    """Images that turned out unusable; only when they are skipped must the splits wait for the conversion."""
    names = SOURCES if wildcards.get("structure", DNA) == DNA else [wildcards.structure]
    return expand("results/volumes/{s}.left_out.csv", s=names) if CONFIG.preprocess.on_bad_image == "skip" else []


def benchmarks_of_rules(wildcards):
    """For each rule a pattern of the benchmark files of this experiment, in the order of the pipeline."""
    # patterns, not files: which files are there must not decide whether the page is up to date
    values = defaultdict(lambda: "*", experiment=CONFIG.experiment)
    return {rule.name: apply_wildcards(rule.benchmark, values) for rule in workflow.rules if rule.benchmark}


# models that are only there to be extended have no scores
SCORED = [name for name, experiment in CELLS.items() if experiment.scored != ()]


def of_cells(pattern, cells):
    """A path for each seed of some experiments of the benchmark."""
    return expand(pattern, experiment=cells, seed=CONFIG.seeds)


def checked_page(wildcards):
    """The page, if the benchmark can be made."""
    try:
        check_matrix(CONFIG)
    except InputError as error:
        raise WorkflowError(str(error)) from None
    return rules.benchmark_page.output


def entry(name):
    """What the page tells of an experiment, as plain values for params."""
    cell = CELLS[name]
    values = {key: getattr(cell, key) for key in ("name", "kind", "title", "structures", "extends", "published")}
    return {**values, "method": cell.model.method}


def say(text):
    """Tell the person at the terminal."""
    print(text, file=sys.stderr)


def on_this_machine(path, since=0):
    """A result or a log, brought here from an object store if it is kept in one; None if it is not there, or older."""
    file = workflow.inputfile(path)
    stored = file.storage_object if file.is_storage else None
    if not (stored.exists() if stored else Path(file).exists()):
        return None
    if (stored.mtime() if stored else Path(file).stat().st_mtime) < since:
        return None
    if stored:
        workflow.async_run(stored.managed_retrieve())
    return Path(file)


def tell_success():
    for path in of_each_run(OVERALL):
        if table := on_this_machine(path, since=STARTED):
            header, over_images, *_ = (line.split(",") for line in table.read_text().splitlines())
            scores = dict(zip(header, over_images))
            shown = ", ".join(f"{name} {float(scores[name]):.4g}" for name in ("r2", "mse", "mae"))
            say(f"{path}: {shown} over {scores['images']} test images")
            say("Write the report with the same command and: --report report.html")


def tell_error(snakemake_log):
    prefix = f"{workflow.storage_settings.default_storage_prefix}".rstrip("/")
    for path in failed_job_logs(snakemake_log):
        # a scheduler's logs are never in an object store
        job_log = Path(path) if Path(path).exists() else on_this_machine(path.removeprefix(f"{prefix}/"))
        say(f"\nThis job failed: {path}")
        text = job_log.read_text() if job_log else ""
        # the last lines say why; all of them are in the file
        say("\n".join([*text.splitlines()[-12:], *what_no_log_says(text, shutil.disk_usage(".").free)]))
