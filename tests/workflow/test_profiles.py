"""Every profile plans the full job, and those for machines elsewhere ask there for what the jobs need."""

import io
import re
import shutil
import signal
import subprocess
import tarfile
from pathlib import Path

import boto3
import pytest
import requests
import yaml

from tests.fast_snakemake import run_snakemake
from tests.helpers import PROJECT, SNAKEMAKE
from tests.kubeserver import KubeServer
from tests.workflow.test_plan import job_counts, plan

PROFILES = sorted(path.parent.name for path in (PROJECT / "profiles").glob("*/config.yaml"))
KEYS = {"aws_access_key_id": "key", "aws_secret_access_key": "secret", "region_name": "us-east-1"}
TO_FILL_IN = {
    "REGISTRY": "registry.example.org",
    "BUCKET": "lab",
    "REGION": "us-east-1",
    "JOB_QUEUE_ARN": "arn:aws:batch:us-east-1:123456789012:job-queue/ssp",
    "JOB_ROLE_ARN": "arn:aws:iam::123456789012:role/ssp",
}


@pytest.fixture
def profile(request, tmp_path, store) -> Path:
    """A profile, filled in."""
    text = (PROJECT / "profiles" / request.param / "config.yaml").read_text()
    for name, value in TO_FILL_IN.items():
        text = text.replace(name, value)
    folder = tmp_path / "profiles" / request.param
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(text)
    return folder


# an object store is asked for each file
FEW = {"structures": ["tom20", "zo1"]}


@pytest.fixture(scope="module")
def full_job(tmp_path_factory) -> dict[str, int]:
    return job_counts(plan(tmp_path_factory.mktemp("plain"), "--workflow-profile", "none", config=FEW))


@pytest.mark.parametrize("profile", PROFILES, indirect=True)
def test_every_profile_plans_the_full_job(profile, tmp_path, full_job):
    prefix = ["--default-storage-prefix", "s3://lab/ssp"] if profile.name == "s3" else []
    assert job_counts(plan(tmp_path, "--workflow-profile", profile, *prefix, config=FEW)) == full_job


@pytest.mark.parametrize("name", PROFILES)
def test_no_profile_looks_at_the_times_of_scripts(name):
    """Snakemake's own trigger for code would run all jobs after a checkout."""
    profile = yaml.safe_load((PROJECT / "profiles" / name / "config.yaml").read_text())
    assert profile["rerun-triggers"] == ["mtime", "params", "input", "software-env"]
    assert profile["rerun-incomplete"] is True


@pytest.mark.parametrize("profile", PROFILES, indirect=True)
def test_every_profile_names_the_line_of_a_broken_configfile(profile, tmp_path):
    """Snakemake would say only that a config file is not valid."""
    (tmp_path / "fine.yaml").write_text("seeds: [0]\n")
    (tmp_path / "broken.yaml").write_text("seeds: [0]\ntrain:\n\tepochs: 3\n")
    files = ["--snakefile", PROJECT / "Snakefile", "--workflow-profile", profile, "--configfile", "fine.yaml"]
    ran = run_snakemake(tmp_path, *files, "broken.yaml", "--config", "dna=null", "--dry-run")
    assert ran.returncode == 1
    said = ran.said.splitlines()[-1]
    assert said.startswith("broken.yaml can't be read as YAML: correct line 3 (found character '\\t'")


@pytest.fixture
def clone(tmp_path) -> Path:
    """The project's files under version control, in a folder of their own."""
    folder = tmp_path / "clone"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, folder / name)
    for command in (["git", "init", "--quiet"], ["git", "add", "."]):
        subprocess.run(command, cwd=folder, check=True)
    return folder


@pytest.fixture
def bucket(store):
    """What the jobs below read, and an empty folder for what they would write."""
    bucket = boto3.resource("s3", endpoint_url=store, **KEYS).create_bucket(Bucket="lab")
    for name in ("datasets/train.h5", "datasets/val.h5", "raw/tom20.tar.gz", "samples/tom20.csv"):
        bucket.put_object(Key=f"ssp/results/{name}", Body=b"there")
    bucket.put_object(Key="ssp/results/evaluation/repmode/seed-0/per_image.csv", Body=b"there")
    bucket.put_object(Key="given", Body=b"there")
    return bucket


def submission(clone: Path, profile: Path) -> list[str | Path]:
    """A command that submits a conversion and the three kinds of jobs that need a GPU."""
    given = {"evaluate": {"model": "s3://lab/given", "test_set": "s3://lab/given"}}
    (clone / "given.yaml").write_text(yaml.safe_dump(given))
    files = [
        "volumes/tom20.h5",
        "models/repmode/seed-0/model.safetensors",
        "evaluation/repmode/seed-0/structures/dna.csv",
        "predictions/repmode/seed-0/composite.ome.tif",
    ]
    rules = ["convert_images", "train_model", "evaluate_structure", "predict_composite"]
    options = ["--workflow-profile", profile, "--configfile", "given.yaml", "--retries", "0", "--allowed-rules", *rules]
    return [SNAKEMAKE, *options, "--", *(f"results/{file}" for file in files)]


@pytest.mark.parametrize("profile", ["kubernetes"], indirect=True)
def test_kubernetes_is_asked_for_what_jobs_need(profile, clone, bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    with KubeServer() as server:
        server.write_kubeconfig(tmp_path / "kubeconfig")
        command = submission(clone, profile)
        with subprocess.Popen(command, cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as ran:
            try:
                pods = [server.jobs.get(timeout=120)["spec"]["template"]["spec"] for _ in range(4)]
                (sources,) = bucket.objects.filter(Prefix="ssp/snakemake-workflow-sources")
                archive = io.BytesIO(sources.get()["Body"].read())
            finally:
                ran.send_signal(signal.SIGINT)
                said = ran.communicate()[0]
    asked = {}
    for pod in pods:
        (container,) = pod["containers"]
        assert container["image"] == "registry.example.org/ssp:0.1.0"
        # Kubernetes gives GPUs by limits only
        assert container["resources"]["limits"].keys() == container["resources"]["requests"].keys()
        rule = re.search(r"--allowed-rules (\w+)", container["args"][1])[1]
        asked[rule] = container["resources"]["limits"]
    gpus = {rule: limits.get("nvidia.com/gpu") for rule, limits in asked.items()}
    assert gpus == {"convert_images": None, "train_model": "1", "evaluate_structure": "1", "predict_composite": "1"}, (
        said
    )
    assert asked["train_model"]["memory"] == "16000M"
    assert asked["convert_images"]["ephemeral-storage"] == "100000M"
    package = {str(path.relative_to(PROJECT)) for path in (PROJECT / "ssp_model").rglob("*.py")}
    with tarfile.open(fileobj=archive) as sources:
        assert package | {"Snakefile", "config.yaml", "given.yaml"} <= set(sources.getnames())


@pytest.mark.parametrize("profile", ["aws-batch"], indirect=True)
def test_aws_batch_is_asked_for_what_jobs_need(profile, clone, bucket, store, monkeypatch):
    requests.post(f"{store}/moto-api/config", json={"batch": {"use_docker": False}}, timeout=60).raise_for_status()
    iam, batch = (boto3.client(service, endpoint_url=store, **KEYS) for service in ("iam", "batch"))
    role = iam.create_role(RoleName="ssp", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    machines = batch.create_compute_environment(computeEnvironmentName="ssp", type="UNMANAGED", serviceRole=role)
    order = [{"order": 0, "computeEnvironment": machines["computeEnvironmentArn"]}]
    batch.create_job_queue(jobQueueName="ssp", state="ENABLED", priority=1, computeEnvironmentOrder=order)
    for name, value in {"ENDPOINT_URL": store, "ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    ran = run_snakemake(clone, *submission(clone, profile)[1:])
    asked = {}
    for definition in batch.describe_job_definitions()["jobDefinitions"]:
        container = definition["containerProperties"]
        assert container["image"] == "registry.example.org/ssp:0.1.0"
        # seven days, as a training
        assert definition["timeout"] == {"attemptDurationSeconds": 7 * 24 * 3600}
        rule = re.search(r"--allowed-rules (\w+)", container["command"][2])[1]
        asked[rule] = {item["type"]: int(item["value"]) for item in container["resourceRequirements"]}
    with_gpu = {"VCPU": 8, "MEMORY": 16384, "GPU": 1}
    assert asked == {
        "convert_images": {"VCPU": 4, "MEMORY": 8192},
        "train_model": with_gpu,
        "evaluate_structure": with_gpu,
        "predict_composite": with_gpu,
    }, ran.said
