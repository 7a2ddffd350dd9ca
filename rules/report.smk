"""Figures and tables of the report."""


rule table_data:
    input:
        splits=[path for task in CONFIG.tasks for path in split_lists(task)],
        left_out=expand("results/volumes/{structure}.left_out.csv", structure=STRUCTURES),
    output:
        report(
            "results/report/data.html",
            caption="../workflow/report/data.rst",
            category="Data",
            labels={"page": "splits and images left out"},
        ),
    log:
        "results/logs/table_data.log",
    benchmark:
        "results/benchmarks/table_data.tsv"
    conda:
        "../envs/ssp.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        tasks=CONFIG.tasks,
        code=source_digest("figures"),
    message:
        "Tabulate the data"
    script:
        "../workflow/scripts/table_data.py"


rule plot_history:
    input:
        f"{MODEL}/history.csv",
    output:
        report(
            f"{FIGURES}/history.png",
            caption="../workflow/report/history.rst",
            category="Training",
            labels={
                "experiment": "{experiment}",
                "seed": "{seed}",
                "figure": "loss curves",
            },
        ),
    log:
        "results/logs/plot_history/{experiment}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/plot_history/{experiment}/seed-{seed}.tsv"
    conda:
        "../envs/ssp.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        code=source_digest("figures"),
    message:
        "Plot the loss curves of {wildcards.experiment}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/plot_history.py"


rule plot_scores:
    input:
        per_image=f"{EVALUATION}/per_image.csv",
        per_structure=f"{EVALUATION}/per_structure.csv",
        overall=f"{EVALUATION}/overall.csv",
    output:
        table=report(
            f"{FIGURES}/scores.html",
            caption="../workflow/report/scores.rst",
            category="Scores",
            labels={"experiment": "{experiment}", "seed": "{seed}", "what": "table"},
        ),
        figure=report(
            f"{FIGURES}/scores.png",
            caption="../workflow/report/scores.rst",
            category="Scores",
            labels={"experiment": "{experiment}", "seed": "{seed}", "what": "figure"},
        ),
    log:
        "results/logs/plot_scores/{experiment}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/plot_scores/{experiment}/seed-{seed}.tsv"
    conda:
        "../envs/ssp.yaml"
    resources:
        mem_mb=500,
        runtime=10,
    params:
        code=source_digest("figures"),
    message:
        "Show the scores of {wildcards.experiment}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/plot_scores.py"


rule plot_structure:
    input:
        per_image=f"{EVALUATION}/per_image.csv",
        images="results/predictions/{experiment}/seed-{seed}",
    output:
        report(
            f"{FIGURES}/images/{{structure}}.png",
            caption="../workflow/report/structure.rst",
            category="Pictures",
            labels={
                "experiment": "{experiment}",
                "seed": "{seed}",
                "structure": "{structure}",
            },
        ),
    log:
        "results/logs/plot_structure/{experiment}/seed-{seed}/{structure}.log",
    benchmark:
        "results/benchmarks/plot_structure/{experiment}/seed-{seed}/{structure}.tsv"
    conda:
        "../envs/ssp.yaml"
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        code=source_digest("figures"),
    message:
        "Picture {wildcards.structure} as predicted by {wildcards.experiment}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/plot_structure.py"
