"""Names of the stages, to run up to one of them: snakemake download, snakemake convert ..."""


localrules:
    # a second's work on small tables, not worth a place in a queue
    download_list,
    check_images,
    split_structure,
    split_dna,
    summarise_scores,
    # the targets
    all,
    download,
    convert,
    split,
    dna,
    integrate,
    train,
    evaluate,
    report,
    compare,


rule report:
    input:
        rules.overview_page.output,
        [] if CONFIG.evaluate.test_set else rules.data_page.output,
        [] if CONFIG.evaluate.model else of_each_run(rules.training_page.output.page),
        of_each_run(rules.scores_page.output.page),
        of_each_run(rules.composite_page.output.page),
        of_each_run(expand(rules.structure_page.output.page, structure=CONFIG.tasks, allow_missing=True)),
    message:
        "Everything that the report shows"


rule compare:
    input:
        rules.compare_page.output,
    message:
        "The experiments and seeds side by side"


rule download:
    input:
        expand(rules.download_list.output, structure=CONFIG.tasks),
        expand(rules.download_archive.output, structure=STRUCTURES),
    message:
        "All image lists and archives"


rule convert:
    input:
        expand(rules.convert_archive.output, structure=STRUCTURES),
        expand(rules.check_images.output, structure=STRUCTURES),
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
        of_each_run(rules.train_model.output),
    message:
        "All models"


rule evaluate:
    input:
        of_each_run(rules.summarise_scores.output),
    message:
        "All scores"
