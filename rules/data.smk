"""Raw images to datasets: convert, split, integrate."""


rule convert_images:
    input:
        # of an own table the content counts, in params
        samples="results/samples/{structure}.csv" if OWN is None else ancient("results/samples/{structure}.csv"),
        # once: a further preflight is no reason to convert again
        preflight=[] if OWN is None else ancient("results/preflight/passed"),
        archive=archive_to_convert,
        # files that are not there are named by the job, all together
        images=lambda wildcards: own_images(wildcards.structure),
        stored=lambda wildcards: [storage(image) for image in stored_images(wildcards.structure)],
    output:
        volumes="results/volumes/{structure}.h5",
        left_out="results/volumes/{structure}.left_out.csv",
    log:
        "results/logs/convert_images/{structure}.log",
    benchmark:
        "results/benchmarks/convert_images/{structure}.tsv"
    # before another archive is downloaded
    priority: 1
    conda:
        ENVIRONMENT
    threads: 4
    resources:
        mem_mb=growing(6000),
        runtime=growing(4 * 60),
        raw_archives=1,
    params:
        scale=CONFIG.preprocess.scale,
        voxel_size_um=CONFIG.preprocess.voxel_size_um,
        samples=samples_checksum,
        sha256=sha256_to_convert,
        addresses=lambda wildcards: stored_images(wildcards.structure),
        code=code_of("convert_images"),
    message:
        "Convert the images of {wildcards.structure} to training resolution"
    script:
        "../workflow/scripts/convert_images.py"


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
        ENVIRONMENT
    resources:
        mem_mb=growing(500),
        runtime=growing(10),
    params:
        # not of the conversion, which need not run again when this changes
        on_bad_image=CONFIG.preprocess.on_bad_image,
        # nothing tells that an archive was mended, as it is no input that stays, nor that there is more memory now
        again=again,
        code=code_of("check_images", "data.left_out"),
    message:
        "Check whether images of {wildcards.structure} can't be used"
    script:
        "../workflow/scripts/check_images.py"


if OWN is not None:

    localrules:
        split_samples,

    rule split_samples:
        input:
            samples=ancient(given(CONFIG.collection.samples)),
            left_out=left_out_lists,
        output:
            [path for task in CONFIG.tasks for path in split_lists(task)],
        log:
            "results/logs/split_samples.log",
        benchmark:
            "results/benchmarks/split_samples.tsv"
        conda:
            ENVIRONMENT
        resources:
            mem_mb=growing(500),
            runtime=growing(10),
        params:
            tasks=CONFIG.tasks,
            samples=checksum(OWN),
            split=section("split"),
            code=code_of("split_samples"),
        message:
            "Split the samples"
        script:
            "../workflow/scripts/split_samples.py"

else:

    localrules:
        split_structure,

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
            ENVIRONMENT
        resources:
            mem_mb=growing(500),
            runtime=growing(10),
        params:
            split=section("split"),
            code=code_of("split_structure"),
        message:
            "Split the images of {wildcards.structure}"
        script:
            "../workflow/scripts/split_structure.py"


if DNA and OWN is None:

    localrules:
        split_dna,

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
            ENVIRONMENT
        resources:
            mem_mb=growing(500),
            runtime=growing(10),
        params:
            structures=STRUCTURES,
            dna=section("dna"),
            split=section("split"),
            code=code_of("split_dna"),
        message:
            f"Draw the images of {DNA} from those of the other structures"
        script:
            "../workflow/scripts/split_dna.py"


rule integrate_datasets:
    input:
        volumes=expand("results/volumes/{structure}.h5", structure=SOURCES),
        checked=expand("results/volumes/{structure}.checked", structure=SOURCES),
        splits=[path for task in CONFIG.tasks for path in split_lists(task)],
    output:
        **{split: f"results/datasets/{split}.h5" for split in SPLITS},
    log:
        "results/logs/integrate_datasets.log",
    benchmark:
        "results/benchmarks/integrate_datasets.tsv"
    conda:
        ENVIRONMENT
    resources:
        mem_mb=growing(2000),
        runtime=growing(4 * 60),
    params:
        sources=SOURCES,
        tasks=CONFIG.tasks,
        config={"split": section("split"), "dna": section("dna"), "preprocess": preprocess_values()},
        code=code_of("integrate_datasets"),
    message:
        "Gather the volumes of each split into one file"
    script:
        "../workflow/scripts/integrate_datasets.py"
