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
    resources:
        **training_tasks(),
        gpu=CONFIG.train.devices * CONFIG.train.nodes,
        nodes=CONFIG.train.nodes,
        mem_mb=training_memory,
        # at every attempt the same: it goes on from where the last one ended
        runtime=7 * 24 * 60,
    params:
        # not an output: outputs are deleted before a rerun, and a killed training goes on from here
        state="results/training/{experiment}/seed-{seed}",
        tracking=f"{MODEL}/wandb",
        model=section("model"),
        train=train_values(),
        predict=section("predict"),
        code=source_digest("training.train"),
    message:
        "Train {wildcards.experiment} with seed {wildcards.seed}"
    script:
        "../workflow/scripts/train_model.py"
