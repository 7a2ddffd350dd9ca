"""Names of the stages, to run up to one of them: snakemake download, snakemake convert ..."""


localrules:
    # a second's work on small tables, not worth a place in a queue
    download_list,
    tabulate_samples,
    check_images,
    summarise_scores,
    list_predictions,
    # where there is a network: often not where jobs run
    download_model,
    # the targets
    all,
    preflight,
    download,
    convert,
    split,
    dna,
    integrate,
    train,
    evaluate,
    predict,
    report,
    compare,
    benchmark,


rule report:
    input:
        rules.overview_page.output,
        [] if CONFIG.evaluate.test_set else rules.data_page.output,
        [] if CONFIG.evaluate.model else of_each_run(f"{FIGURES}/training.html"),
        of_each_run(f"{FIGURES}/scores.html"),
        of_each_run(f"{FIGURES}/trust.html"),
        of_each_run(f"{FIGURES}/composite.html"),
        of_each_run(f"{FIGURES}/model_card.html"),
        of_each_run(expand(f"{FIGURES}/structures/{{structure}}.html", structure=CONFIG.tasks, allow_missing=True)),
    message:
        "Everything that the report shows"


rule compare:
    input:
        rules.compare_page.output,
    message:
        "The experiments and seeds side by side"


rule preflight:
    input:
        [] if OWN is None else "results/preflight/passed",
    message:
        "All checks of the own table of samples and its images"


rule download:
    input:
        expand("results/samples/{structure}.csv", structure=SOURCES),
        [] if OWN is not None else expand("results/lists/{structure}.csv", structure=CONFIG.tasks),
        [archive for archive in map(fetched_archive, STRUCTURES) if archive],
    message:
        "All image lists and archives"


rule convert:
    input:
        expand("results/volumes/{structure}.{suffix}", structure=SOURCES, suffix=["h5", "left_out.csv", "checked"]),
    message:
        "All volumes"


rule split:
    input:
        [path for task in CONFIG.tasks for path in split_lists(task)],
    message:
        "All splits"


rule dna:
    input:
        split_lists(DNA) if DNA else [],
    message:
        "The splits of the structure drawn from the others"


rule integrate:
    input:
        rules.integrate_datasets.output,
    message:
        "The three datasets"


rule train:
    input:
        of_each_run([f"{MODEL}/{file}" for file in ("model.safetensors", "history.csv", "events.jsonl")]),
    message:
        "All models"


rule evaluate:
    input:
        of_each_run([f"{EVALUATION}/{table}.csv" for table in ("per_image", "per_structure", "overall")]),
    message:
        "All scores"


rule predict:
    input:
        expand(f"{IMAGES}.csv", experiment=CONFIG.experiment, seed=UNCERTAIN_RUNS) if CONFIG.predict.images else [],
    message:
        "The predictions of predict.images"


rule benchmark:
    input:
        checked_page,
    message:
        "The comparison of methods, ablations and increments"
