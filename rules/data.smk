"""Raw images to datasets: convert, split, integrate."""


rule convert_archive:
    input:
        archive=archive_to_convert,
        images="results/lists/{structure}.csv",
        dna_images=f"results/lists/{DNA}.csv" if DNA else [],
    output:
        volumes="results/volumes/{structure}.h5",
        left_out="results/volumes/{structure}.left_out.csv",
    log:
        "results/logs/convert_archive/{structure}.log",
    benchmark:
        "results/benchmarks/convert_archive/{structure}.tsv"
    # before another archive is downloaded
    priority: 1
    conda:
        "../envs/ssp.yaml"
    threads: 4
    resources:
        mem_mb=growing(6000),
        runtime=growing(4 * 60),
        raw_archives=1,
    params:
        dna=DNA,
        scale=CONFIG.preprocess.scale,
        voxel_size_um=CONFIG.preprocess.voxel_size_um,
        sha256=sha256_to_convert,
        code=source_digest("data.convert"),
    message:
        "Convert the images of {wildcards.structure} to training resolution"
    script:
        "../workflow/scripts/convert_archive.py"


rule check_images:
    input:
        left_out="results/volumes/{structure}.left_out.csv",
    output:
        touch("results/volumes/{structure}.checked"),
    log:
        "results/logs/check_images/{structure}.log",
    benchmark:
        "results/benchmarks/check_images/{structure}.tsv"
    conda:
        "../envs/ssp.yaml"
    resources:
        mem_mb=growing(500),
        runtime=growing(10),
    params:
        # not of the conversion, which need not run again when this changes
        on_bad_image=CONFIG.preprocess.on_bad_image,
        code=source_digest("data.left_out"),
    message:
        "Check whether images of {wildcards.structure} can't be used"
    script:
        "../workflow/scripts/check_images.py"


rule split_structure:
    input:
        images="results/lists/{structure}.csv",
        left_out=left_out_lists,
    output:
        train="results/splits/{structure}/train.csv",
        val="results/splits/{structure}/val.csv",
        test="results/splits/{structure}/test.csv",
    log:
        "results/logs/split_structure/{structure}.log",
    benchmark:
        "results/benchmarks/split_structure/{structure}.tsv"
    conda:
        "../envs/ssp.yaml"
    resources:
        mem_mb=growing(500),
        runtime=growing(10),
    params:
        split=section("split"),
        code=source_digest("data.splits"),
    message:
        "Split the images of {wildcards.structure}"
    script:
        "../workflow/scripts/split_structure.py"


if DNA:

    ruleorder: split_dna > split_structure

    rule split_dna:
        input:
            candidates=f"results/lists/{DNA}.csv",
            images=expand("results/lists/{structure}.csv", structure=STRUCTURES),
            left_out=left_out_lists,
        output:
            train=f"results/splits/{DNA}/train.csv",
            val=f"results/splits/{DNA}/val.csv",
            test=f"results/splits/{DNA}/test.csv",
        log:
            "results/logs/split_dna.log",
        benchmark:
            "results/benchmarks/split_dna.tsv"
        conda:
            "../envs/ssp.yaml"
        resources:
            mem_mb=growing(500),
            runtime=growing(10),
        params:
            structures=STRUCTURES,
            dna=section("dna"),
            split=section("split"),
            code=source_digest("data.splits"),
        message:
            f"Draw the images of {DNA} from those of the other structures"
        script:
            "../workflow/scripts/split_dna.py"


rule integrate_datasets:
    input:
        volumes=expand("results/volumes/{structure}.h5", structure=STRUCTURES),
        checked=expand("results/volumes/{structure}.checked", structure=STRUCTURES),
        splits=[path for task in CONFIG.tasks for path in split_lists(task)],
    output:
        **{split: f"results/datasets/{split}.h5" for split in SPLITS},
    log:
        "results/logs/integrate_datasets.log",
    benchmark:
        "results/benchmarks/integrate_datasets.tsv"
    conda:
        "../envs/ssp.yaml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(4 * 60),
    params:
        structures=STRUCTURES,
        tasks=CONFIG.tasks,
        config={"split": section("split"), "dna": section("dna"), "preprocess": preprocess_values()},
        code=source_digest("data.integrate"),
    message:
        "Gather the volumes of each split into one file"
    script:
        "../workflow/scripts/integrate_datasets.py"
