"""Images to predict with a trained model: so many in each job, then one table of all."""


rule predict_images:
    input:
        models=models_of_run,
        calibrations=of_uncertain_run(f"{EVALUATION}/calibration/{{structure}}.csv"),
    output:
        table=f"{IMAGES}/batch-{{batch}}.csv",
        images=directory(f"{IMAGES}/batch-{{batch}}"),
    log:
        "results/logs/predict_images/{experiment}/seed-{seed}/{batch}.log",
    benchmark:
        "results/benchmarks/predict_images/{experiment}/seed-{seed}/{batch}.tsv"
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
        images=images_of_batch,
        precision=CONFIG.train.precision,
        predict=window_values(),
        output=output_values(),
        uncertainty=CONFIG.predict.uncertainty,
        code=code_with_method("predict_images"),
    message:
        "Predict images by {wildcards.experiment}, seed {wildcards.seed}: job {wildcards.batch}"
    script:
        "../workflow/scripts/predict_images.py"


rule list_predictions:
    input:
        prediction_tables,
    output:
        f"{IMAGES}.csv",
    log:
        "results/logs/list_predictions/{experiment}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/list_predictions/{experiment}/seed-{seed}.tsv"
    wildcard_constraints:
        seed=SEED_OR_ALL,
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=code_of("list_predictions"),
    message:
        "List the predictions of {wildcards.experiment}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/list_predictions.py"
