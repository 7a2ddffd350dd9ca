"""Scores on the test images."""


rule evaluate_model:
    input:
        model=f"{MODEL}/model.safetensors",
        test="results/datasets/test.h5",
    output:
        per_image=f"{EVALUATION}/per_image.csv",
        per_structure=f"{EVALUATION}/per_structure.csv",
        overall=f"{EVALUATION}/overall.csv",
        images=directory("results/predictions/{experiment}/seed-{seed}"),
    log:
        "results/logs/evaluate_model/{experiment}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/evaluate_model/{experiment}/seed-{seed}.tsv"
    conda:
        "../envs/ssp.yaml"
    threads: 8
    resources:
        gpu=1,
        mem_mb=8000,
        runtime=8 * 60,
    params:
        precision=CONFIG.train.precision,
        predict=section("predict"),
        evaluate=section("evaluate"),
        code=source_digest("evaluate"),
    message:
        "Score {wildcards.experiment}, seed {wildcards.seed}, on the test images"
    script:
        "../workflow/scripts/evaluate_model.py"
