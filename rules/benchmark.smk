"""The benchmark: methods, ablations and increments, each an experiment of its own, and one page of all."""


rule measure_cost:
    input:
        # a seed changes no cost
        model=f"{MODEL}/model.safetensors".replace("{seed}", str(CONFIG.seeds[0])),
    output:
        "results/costs/{experiment}.csv",
    log:
        "results/logs/measure_cost/{experiment}.log",
    benchmark:
        "results/benchmarks/measure_cost/{experiment}.tsv"
    conda:
        ENVIRONMENT
    threads: threads_of_network
    resources:
        gpu=1,
        mem_mb=growing(8000),
        runtime=growing(60),
    params:
        precision=CONFIG.train.precision,
        code=code_with_method("measure_cost"),
    message:
        "Measure what a prediction of {wildcards.experiment} costs"
    script:
        "../workflow/scripts/measure_cost.py"


rule benchmark_page:
    input:
        per_image=of_cells(f"{EVALUATION}/per_image.csv", SCORED),
        histories=of_cells(HISTORY, CELLS),
        costs=expand("results/costs/{experiment}.csv", experiment=SCORED),
    output:
        page=report(
            "results/report/benchmark.html",
            caption="../workflow/report/benchmark.rst",
            category="Compare",
            labels={"page": "methods, ablations, increments"},
        ),
        table="results/report/benchmark.csv",
        figures=directory("results/report/benchmark"),
    log:
        "results/logs/benchmark_page.log",
    benchmark:
        "results/benchmarks/benchmark_page.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        entries=[entry(name) for name in CELLS],
        # a function, as its {structure} is no wildcard
        images=images_from,
        code=code_of("benchmark_page"),
    message:
        "Compare methods, ablations and increments"
    script:
        "../workflow/scripts/benchmark_page.py"
