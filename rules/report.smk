"""Pages of the report."""

# each run has a folder of pages; their figures lie beside them as PNG and SVG


rule overview_page:
    input:
        overall=of_each_run(OVERALL),
        pages=of_each_run(
            expand(
                f"{FIGURES}/{{page}}.html",
                page=["scores", "trust", "composite", "model_card", *expand("structures/{s}", s=CONFIG.tasks)],
                allow_missing=True,
            )
        ),
        left_out=[] if CONFIG.evaluate.test_set else LEFT_OUT,
    output:
        report(
            "results/report/overview.html",
            caption="../workflow/report/overview.rst",
            category="Overview",
            labels={"page": "this run"},
        ),
    log:
        "results/logs/overview_page.log",
    benchmark:
        "results/benchmarks/overview_page.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        config=CONFIG.model_dump(mode="json"),
        benchmarks=benchmarks_of_rules,
        code=code_of("overview_page"),
    message:
        "Show what was run"
    script:
        "../workflow/scripts/overview_page.py"


rule data_page:
    input:
        splits=[path for task in CONFIG.tasks for path in split_lists(task)],
        # by name: with another rule's list of outputs, planning takes time that grows with the square of the inputs
        datasets=[f"results/datasets/{split}.h5" for split in SPLITS],
        left_out=LEFT_OUT,
    output:
        page=report(
            "results/report/data.html",
            caption="../workflow/report/data.rst",
            category="Data",
            labels={"page": "splits, images, intensities"},
        ),
        figures=directory("results/report/data"),
    log:
        "results/logs/data_page.log",
    benchmark:
        "results/benchmarks/data_page.tsv"
    # before a training: it says which targets are not worth one
    priority: 1
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        tasks=CONFIG.tasks,
        code=code_of("data_page"),
    message:
        "Show the data"
    script:
        "../workflow/scripts/data_page.py"


rule training_page:
    input:
        model=f"{MODEL}/model.safetensors",
        history=HISTORY,
    output:
        page=report(
            f"{FIGURES}/training.html",
            caption="../workflow/report/training.rst",
            category="Training",
            labels={"experiment": "{experiment}", "seed": "{seed}"},
        ),
        figures=directory(f"{FIGURES}/training"),
    log:
        "results/logs/training_page/{experiment}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/training_page/{experiment}/seed-{seed}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=code_with_method("training_page"),
    message:
        "Show the training of {wildcards.experiment}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/training_page.py"


rule scores_page:
    input:
        per_image=rules.summarise_scores.output.per_image,
        per_structure=rules.summarise_scores.output.per_structure,
        overall=rules.summarise_scores.output.overall,
    output:
        page=report(
            f"{FIGURES}/scores.html",
            caption="../workflow/report/scores.rst",
            category="Scores",
            labels={"experiment": "{experiment}", "seed": "{seed}"},
        ),
        figures=directory(f"{FIGURES}/scores"),
    log:
        "results/logs/scores_page/{experiment}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/scores_page/{experiment}/seed-{seed}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        # a function, as its {structure} is no wildcard
        images=images_from,
        code=code_of("scores_page"),
    message:
        "Show the scores of {wildcards.experiment}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/scores_page.py"


rule trust_page:
    input:
        # where the model is from elsewhere, its training data is unknown
        train=[] if CONFIG.evaluate.model else "results/datasets/train.h5",
        per_image=rules.summarise_scores.output.per_image,
        per_structure=rules.summarise_scores.output.per_structure,
        curves=lambda wildcards: expand(
            f"{EVALUATION}/curves/{{structure}}.csv",
            structure=scored_structures(wildcards.experiment),
            **wildcards,
        ),
        uncertainty=of_uncertain_run(f"{EVALUATION}/uncertainty/{{structure}}.csv"),
        levels=of_uncertain_run(f"{EVALUATION}/uncertainty/{{structure}}_levels.csv"),
    output:
        page=report(
            f"{FIGURES}/trust.html",
            caption="../workflow/report/trust.rst",
            category="Trust",
            labels={"experiment": "{experiment}", "seed": "{seed}"},
        ),
        figures=directory(f"{FIGURES}/trust"),
    log:
        "results/logs/trust_page/{experiment}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/trust_page/{experiment}/seed-{seed}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        scoring=scoring_values(),
        code=code_of("trust_page"),
    message:
        "Show how far {wildcards.experiment}, seed {wildcards.seed}, can be trusted"
    script:
        "../workflow/scripts/trust_page.py"


rule structure_page:
    input:
        scores=rules.evaluate_structure.output.scores,
        images=rules.evaluate_structure.output.images,
        regions=rules.evaluate_structure.output.regions,
        uncertain=of_uncertain_run(f"{EVALUATION}/uncertainty/{{structure}}"),
    output:
        page=report(
            f"{FIGURES}/structures/{{structure}}.html",
            caption="../workflow/report/structure.rst",
            category="Pictures",
            labels={
                "experiment": "{experiment}",
                "seed": "{seed}",
                "structure": "{structure}",
                "what": "best, median, worst",
            },
        ),
        viewer=report(
            f"{FIGURES}/viewers/{{structure}}.html",
            caption="../workflow/report/viewer.rst",
            category="Pictures",
            labels={
                "experiment": "{experiment}",
                "seed": "{seed}",
                "structure": "{structure}",
                "what": "volume viewer",
            },
        ),
        figures=directory(f"{FIGURES}/structures/{{structure}}"),
    log:
        "results/logs/structure_page/{experiment}/seed-{seed}/{structure}.log",
    benchmark:
        "results/benchmarks/structure_page/{experiment}/seed-{seed}/{structure}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=code_of("structure_page"),
    message:
        "Picture {wildcards.structure} as predicted by {wildcards.experiment}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/structure_page.py"


rule composite_page:
    input:
        rules.predict_composite.output,
    output:
        page=report(
            f"{FIGURES}/composite.html",
            caption="../workflow/report/composite.rst",
            category="Pictures",
            labels={
                "experiment": "{experiment}",
                "seed": "{seed}",
                "structure": "all",
                "what": "in one image",
            },
        ),
        figures=directory(f"{FIGURES}/composite"),
    log:
        "results/logs/composite_page/{experiment}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/composite_page/{experiment}/seed-{seed}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=code_of("composite_page"),
    message:
        "Picture all structures as predicted by {wildcards.experiment}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/composite_page.py"


rule model_card_page:
    input:
        model=MODEL_FILE,
        per_structure=rules.summarise_scores.output.per_structure,
        overall=rules.summarise_scores.output.overall,
        # where the model is from elsewhere, its training data is unknown
        train=[] if CONFIG.evaluate.model else "results/datasets/train.h5",
        val=[] if CONFIG.evaluate.model else "results/datasets/val.h5",
        test=TEST_SET,
        # the pictures of these pages
        pictures=lambda wildcards: expand(
            f"{FIGURES}/{{figures}}",
            figures=["scores", "composite", *expand("structures/{s}", s=scored_structures(wildcards.experiment))],
            **wildcards,
        ),
        about=given(CONFIG.about) if CONFIG.about else [],
    output:
        page=report(
            f"{FIGURES}/model_card.html",
            caption="../workflow/report/model_card.rst",
            category="Model card",
            labels={"experiment": "{experiment}", "seed": "{seed}"},
        ),
        card=directory(f"{FIGURES}/model_card"),
    log:
        "results/logs/model_card_page/{experiment}/seed-{seed}.log",
    benchmark:
        "results/benchmarks/model_card_page/{experiment}/seed-{seed}.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        code=code_with_method("model_card_page"),
    message:
        "Write the model card of {wildcards.experiment}, seed {wildcards.seed}"
    script:
        "../workflow/scripts/model_card_page.py"


rule compare_page:
    input:
        overall=finished_runs,
        histories=known_histories,
    output:
        page=report(
            "results/report/compare.html",
            caption="../workflow/report/compare.rst",
            category="Compare",
            labels={"page": "experiments and seeds"},
        ),
        table="results/report/compare.csv",
        figures=directory("results/report/compare"),
    log:
        "results/logs/compare_page.log",
    benchmark:
        "results/benchmarks/compare_page.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        code=code_of("compare_page"),
    message:
        "Compare experiments and seeds"
    script:
        "../workflow/scripts/compare_page.py"
