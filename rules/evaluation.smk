"""Scores on the test images: one job a structure, then all together."""


rule evaluate_structure:
    input:
        model=MODEL_FILE,
        test=TEST_SET,
    output:
        scores=f"{EVALUATION}/structures/{{structure}}.csv",
        curves=f"{EVALUATION}/curves/{{structure}}.csv",
        regions=f"{EVALUATION}/regions/{{structure}}.h5",
        images=directory(f"{PREDICTIONS}/{{structure}}"),
    log:
        "results/logs/evaluate_structure/{experiment}/seed-{seed}/{structure}.log",
    benchmark:
        "results/benchmarks/evaluate_structure/{experiment}/seed-{seed}/{structure}.tsv"
    conda:
        ENVIRONMENT
    threads: threads_of_network
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=growing(4 * 60),
    params:
        precision=CONFIG.train.precision,
        predict=window_values(),
        scoring=scoring_of_structure,
        save_images=CONFIG.evaluate.save_images,
        code=code_with_method("evaluate_structure"),
    message:
        "Score {wildcards.experiment}, seed {wildcards.seed}, on the test images of {wildcards.structure}"
    script:
        "../workflow/scripts/evaluate_structure.py"


rule summarise_scores:
    input:
        lambda wildcards: expand(
            f"{EVALUATION}/structures/{{structure}}.csv",
            structure=scored_structures(wildcards.experiment),
            **wildcards,
        ),
    output:
        per_image=f"{EVALUATION}/per_image.csv",
        per_structure=f"{EVALUATION}/per_structure.csv",
        overall=f"{EVALUATION}/overall.csv",
    log:
        "results/logs/summarise_scores/{experiment}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/summarise_scores/{experiment}/seed-{seed}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=code_of("summarise_scores"),
    message:
        "Sum up the scores of {wildcards.experiment}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/summarise_scores.py"


rule calibrate_uncertainty:
    input:
        models=models_of_run,
        val="results/datasets/val.h5",
    output:
        f"{EVALUATION}/calibration/{{structure}}.csv",
    log:
        "results/logs/calibrate_uncertainty/{experiment}/seed-{seed}/{structure}.log",
    benchmark:
        "results/benchmarks/calibrate_uncertainty/{experiment}/seed-{seed}/{structure}.tsv"
    wildcard_constraints:
        seed=SEED_OR_ALL,
    conda:
        ENVIRONMENT
    threads: threads_of_network
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=growing(4 * 60),
    params:
        precision=CONFIG.train.precision,
        predict=window_values(),
        uncertainty=CONFIG.predict.uncertainty,
        code=code_with_method("calibrate_uncertainty"),
    message:
        "Calibrate the uncertainty of {wildcards.structure} by {wildcards.experiment}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/calibrate_uncertainty.py"


rule measure_uncertainty:
    input:
        models=models_of_run,
        calibration=rules.calibrate_uncertainty.output[0],
        scores=scores_of_models,
        test=TEST_SET,
    output:
        scores=f"{EVALUATION}/uncertainty/{{structure}}.csv",
        levels=f"{EVALUATION}/uncertainty/{{structure}}_levels.csv",
        images=directory(f"{EVALUATION}/uncertainty/{{structure}}"),
    log:
        "results/logs/measure_uncertainty/{experiment}/seed-{seed}/{structure}.log",
    benchmark:
        "results/benchmarks/measure_uncertainty/{experiment}/seed-{seed}/{structure}.tsv"
    wildcard_constraints:
        seed=SEED_OR_ALL,
    conda:
        ENVIRONMENT
    threads: threads_of_network
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=growing(4 * 60),
    params:
        precision=CONFIG.train.precision,
        predict=window_values(),
        uncertainty=CONFIG.predict.uncertainty,
        code=code_with_method("measure_uncertainty"),
    message:
        "Measure the uncertainty of {wildcards.structure} by {wildcards.experiment}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/measure_uncertainty.py"


rule predict_composite:
    input:
        model=MODEL_FILE,
        test=TEST_SET,
        scores=rules.summarise_scores.output.per_image,
    output:
        f"{PREDICTIONS}/composite.ome.tif",
    log:
        "results/logs/predict_composite/{experiment}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/predict_composite/{experiment}/seed-{seed}.tsv"
    conda:
        ENVIRONMENT
    threads: threads_of_network
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        precision=CONFIG.train.precision,
        predict=window_values(),
        code=code_with_method("predict_composite"),
    message:
        "Predict all structures in one test image by {wildcards.experiment}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/predict_composite.py"
