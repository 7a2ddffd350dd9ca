"""Mishaps in the middle of a run: what is shown, and what the same command does after they are mended."""

import random
import re
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from tests.e2e.kills import JOB, WHOLE_GROUP, content, kill_and_compare
from tests.helpers import command, snakemake, tiny

pytestmark = pytest.mark.slow


def spoilt(simulated: Path, folder: Path) -> dict:
    """The config of one structure, whose first image in the archive is none."""
    config = tiny(str(folder / "{structure}.tar.gz"), f"{simulated}/lists/{{structure}}.csv")
    with tarfile.open(simulated / "tom20.tar.gz") as tar:
        tar.extractall(folder / "images", filter="data")
    first = min((folder / "images/tom20").iterdir())
    first.write_bytes(b"no image" * 99)
    with tarfile.open(folder / "tom20.tar.gz", "w:gz") as tar:
        tar.add(folder / "images/tom20", "tom20")
    return config | {"structures": ["tom20"], "dna": None}


def test_a_mended_archive_is_converted_again_by_what_the_message_says(simulated, tmp_path):
    config = spoilt(simulated, tmp_path)
    whole = (tmp_path / "tom20.tar.gz").read_bytes()
    (tmp_path / "tom20.tar.gz").write_bytes(b"no archive")
    ran = snakemake(tmp_path, config, "convert")
    # the user's own file, not the link to it
    assert f"convert_images/tom20: {tmp_path}/tom20.tar.gz (10 bytes) is truncated, damaged or not" in ran.said
    (tmp_path / "tom20.tar.gz").write_bytes(whole)
    ran = snakemake(tmp_path, config, "convert")
    assert ran.returncode == 1
    (again,) = set(re.findall("run the same command again with (--forcerun .*)", ran.said))
    config["preprocess"] = {"on_bad_image": "skip"}
    assert snakemake(tmp_path, config, "convert").returncode == 0
    assert len(pd.read_csv(tmp_path / "results/volumes/tom20.left_out.csv")) == 1
    shutil.copyfile(simulated / "tom20.tar.gz", tmp_path / "tom20.tar.gz")
    ran = snakemake(tmp_path, config, "convert", *again.split())
    assert ran.returncode == 0, ran.said
    assert pd.read_csv(tmp_path / "results/volumes/tom20.left_out.csv").empty
    assert "Nothing to be done" in snakemake(tmp_path, config, "convert", "-n").said


def test_a_list_that_is_spoilt_later_is_named_and_not_the_link_to_it(simulated, tmp_path):
    shutil.copytree(simulated / "lists", tmp_path / "lists")
    config = tiny(f"{simulated}/{{structure}}.tar.gz", f"{tmp_path}/lists/{{structure}}.csv")
    tables = [f"results/{path}.csv" for path in ("samples/tom20", "splits/tom20/val", "splits/dna/val")]
    assert snakemake(tmp_path, config, *tables).returncode == 0
    for name in ("tom20", "dna"):
        (tmp_path / f"lists/{name}.csv").write_text("none\n")
    ran = snakemake(tmp_path, config, *tables)
    assert ran.returncode == 1
    told = re.findall(r"^(\w+)\S*: (\S+) has no column", ran.said, re.MULTILINE)
    assert {job for job, _ in told} == {"tabulate_samples", "split_structure", "split_dna"}
    assert {path for _, path in told} <= {f"{tmp_path}/lists/{name}.csv" for name in ("tom20", "dna")}


@pytest.mark.parametrize("rule", ["convert_images", "integrate_datasets", "evaluate_structure", "structure_page"])
def test_a_full_disk_is_a_sentence_in_every_stage(finished, simulated, tmp_path, rule):
    """Its files may not grow over 50 kB; the same command, once there is room, ends as before."""
    folder, config, _ = finished
    folder = shutil.copytree(folder, tmp_path / "run", symlinks=True)
    if rule == "convert_images":  # not a download before it
        config = tiny(f"{simulated}/{{structure}}.tar.gz", f"{simulated}/lists/{{structure}}.csv")
    words = command(folder, config, "--forcerun", rule, "--until", rule)
    ran = subprocess.run(["prlimit", "--fsize=50000", *words], capture_output=True, text=True, check=False, cwd=folder)
    said = ran.stdout + ran.stderr
    assert ran.returncode == 1
    assert re.search(r"can't be written \(.*\): make room |folder for temporary files \(TMPDIR\) has room", said), said
    assert "Traceback" not in said
    assert snakemake(folder, config, "--until", rule).returncode == 0


def test_killed_at_random_moments(finished, simulated, tmp_path):
    """Up to the datasets; `python -m tests.e2e.kills 20` goes up to the report. A killed training has its own test."""
    config = tiny(f"{simulated}/{{structure}}.tar.gz", f"{simulated}/lists/{{structure}}.csv")
    made = {"splits", "volumes", "datasets"}
    wanted = {name: it for name, it in content(finished[0]).items() if Path(name).parts[0] in made}
    rng = random.Random(0)
    for victim in (WHOLE_GROUP, JOB):
        how = [(signal.SIGKILL, victim)]
        killed = kill_and_compare(tmp_path / "run", config, wanted, target="integrate", rng=rng, how=how)
        # a workflow that lives on removes its lock
        assert killed.endswith("and unlocked") == (victim == WHOLE_GROUP), killed
