"""Training: one job a seed."""


rule train_model:
    input:
        train="results/datasets/train.h5",
        val="results/datasets/val.h5",
    output:
        model=f"{MODEL}/model.safetensors",
        history=HISTORY,
        events=f"{MODEL}/events.jsonl",
    log:
        "results/logs/train_model/{experiment}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/train_model/{experiment}/seed-{seed}.tsv"
    conda:
        "../envs/ssp.yaml"
    threads: 8
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
        model=section("model"),
        train=section("train"),
        predict=window_values(),
        code=source_digest("training.train", METHOD),
    message:
        "Train {wildcards.experiment} with seed {wildcards.seed}"
    script:
        "../workflow/scripts/train_model.py"
