"""Training: one job a seed; where each structure has a network of its own, one job for each, and one that joins them."""

ALONE = [name for name, experiment in EXPERIMENTS.items() if experiment.is_trained_alone]
TOGETHER = [name for name in EXPERIMENTS if name not in ALONE]


rule train_model:
    input:
        train="results/datasets/train.h5",
        val="results/datasets/val.h5",
        extends=base_model,
    output:
        model=f"{MODEL}/model.safetensors",
        history=HISTORY,
        events=f"{MODEL}/events.jsonl",
    log:
        "results/logs/train_model/{experiment}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/train_model/{experiment}/seed-{seed}.tsv"
    wildcard_constraints:
        experiment=any_of(TOGETHER),
    conda:
        ENVIRONMENT
    threads: threads_of_network
    # resources say where and how it is computed: a change of these is no reason to train again.
    # profiles and --set-resources change them, and add tasks_per_node for several processes on each node
    resources:
        gpu=1,
        nodes=1,
        # where crops are read from: disk, scratch or memory
        cache="disk",
        wandb=CONFIG.tracking.wandb,
        wandb_project=CONFIG.tracking.project,
        mem_mb=growing(16000),
        # the same at every attempt: it resumes where the last one ended
        runtime=7 * 24 * 60,
    params:
        # not an output: outputs are deleted before a rerun, and a killed training resumes from here
        checkpoint="results/training/{experiment}/seed-{seed}",
        tracking=f"{MODEL}/wandb",
        model=lambda wildcards: EXPERIMENTS[wildcards.experiment].model.model_dump(),
        structures=lambda wildcards: EXPERIMENTS[wildcards.experiment].structures,
        train=CONFIG.train.model_dump(include=set(TrainConfig.model_fields)),
        predict=window_values(),
        code=code_with_method("train_model"),
    message:
        "Train {wildcards.experiment} with seed {wildcards.seed}"
    script:
        "../workflow/scripts/train_model.py"


use rule train_model as train_structure with:
    output:
        model=f"{PART}/model.safetensors",
        history=f"{PART}/history.csv",
        events=f"{PART}/events.jsonl",
    log:
        "results/logs/train_structure/{experiment}/seed-{seed}/{structure}.log",
    benchmark:
        "results/benchmarks/train_structure/{experiment}/seed-{seed}/{structure}.tsv"
    wildcard_constraints:
        experiment=any_of(ALONE),
    params:
        checkpoint="results/training/{experiment}/seed-{seed}/structures/{structure}",
        tracking=f"{PART}/wandb",
        structures=lambda wildcards: (wildcards.structure,),
    message:
        "Train {wildcards.experiment} with seed {wildcards.seed} for {wildcards.structure} alone"


rule join_models:
    input:
        train="results/datasets/train.h5",
        val="results/datasets/val.h5",
        models=expand(f"{PART}/model.safetensors", structure=CONFIG.tasks, allow_missing=True),
        histories=expand(f"{PART}/history.csv", structure=CONFIG.tasks, allow_missing=True),
        events=expand(f"{PART}/events.jsonl", structure=CONFIG.tasks, allow_missing=True),
    output:
        model=f"{MODEL}/model.safetensors",
        history=HISTORY,
        events=f"{MODEL}/events.jsonl",
    log:
        "results/logs/join_models/{experiment}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/join_models/{experiment}/seed-{seed}.tsv"
    wildcard_constraints:
        experiment=any_of(ALONE),
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        structures=CONFIG.tasks,
        code=code_with_method("join_models"),
    message:
        "Join the networks of {wildcards.experiment}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/join_models.py"
