"""Mishaps in the middle of a run: what is shown, and what the same command does after they are mended."""

import random
import re
import shutil
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from tests.e2e.kills import content, kill_and_compare
from tests.helpers import snakemake, tiny

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
    shutil.copyfile(simulated / "tom20.tar.gz", tmp_path / "tom20.tar.gz")
    ran = snakemake(tmp_path, config, "convert", *again.split())
    assert ran.returncode == 0, ran.said
    assert pd.read_csv(tmp_path / "results/volumes/tom20.left_out.csv").empty
    assert "Nothing to be done" in snakemake(tmp_path, config, "convert", "-n").said


def test_killed_at_random_moments(finished, simulated, tmp_path):
    """Up to the datasets; `python -m tests.e2e.kills 20` goes up to the report. A killed training has its own test."""
    config = tiny(f"{simulated}/{{structure}}.tar.gz", f"{simulated}/lists/{{structure}}.csv")
    made = {"splits", "volumes", "datasets"}
    wanted = {name: it for name, it in content(finished[0]).items() if Path(name).parts[0] in made}
    rng = random.Random(0)
    for _ in range(2):
        kill_and_compare(tmp_path / "run", config, wanted, target="integrate", rng=rng)
