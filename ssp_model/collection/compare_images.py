"""Compare the images of a table: the same content under two names, mixed voxel sizes, channels of other names."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from ssp_model.collection.check_image import ERROR, WARNING, ChannelUse, CheckedImage, Problem
from ssp_model.files import sha256_of
from ssp_model.images.description import SAME_VOXEL_SIZE

PROBE = 2**16
"""Bytes at the start, the middle and the end that are compared before whole files are."""


def same_content(images: Sequence[CheckedImage]) -> list[Problem]:
    """Find images that are in the table under two names, by size, then by parts, then by the whole content."""
    groups = [[image for image in images if image.num_bytes]]
    for key in (lambda image: image.num_bytes, _probe, lambda image: sha256_of(image.path)):
        groups = [same for group in groups for same in _grouped(group, key) if len(same) > 1]
    return [
        Problem(
            ERROR,
            other.image,
            ", ".join(sorted(other.structures)),
            f"{other.image} has the same content as {first.image}, so a model might be tested on what it was trained "
            "on; use one name for both.",
        )
        for first, *others in groups
        for other in others
    ]


def _grouped(images: Iterable[CheckedImage], key: Callable[[CheckedImage], object]) -> list[list[CheckedImage]]:
    groups: dict[str, list[CheckedImage]] = defaultdict(list)
    for image in images:
        groups[str(key(image))].append(image)
    return list(groups.values())


def _files(path: Path) -> list[Path]:
    """Return the file, or all files in the folder of an OME-Zarr, in a fixed order."""
    return sorted(inner for inner in path.rglob("*") if inner.is_file()) if path.is_dir() else [path]


def _probe(image: CheckedImage) -> bytes:
    """Return a checksum of some parts of an image."""
    files = _files(image.path)
    digest = hashlib.sha256()
    for path in dict.fromkeys((files[0], files[len(files) // 2], files[-1])):
        size = path.stat().st_size
        with path.open("rb") as file:
            for start in (0, size // 2, max(size - PROBE, 0)):
                file.seek(start)
                digest.update(file.read(PROBE))
    return digest.digest()


def mixed_voxel_sizes(uses: Sequence[ChannelUse]) -> list[Problem]:
    """Find images whose voxels would differ in size after resizing, or have no known size."""
    sizes = {use.image: use.voxel_size_um for use in uses}
    known = {image: np.array(size) for image, size in sizes.items() if size}
    problems = []
    if unknown := [image for image, size in sizes.items() if not size]:
        problems.append(
            Problem(
                WARNING,
                "",
                "",
                f"{len(unknown)} of {len(sizes)} images have no known voxel size, such as {unknown[0]}; if it differs "
                "between images, give it in the table.",
            )
        )
    if known:
        first, size = next(iter(known.items()))
        differing = {image: other for image, other in known.items() if np.abs(other / size - 1).max() > SAME_VOXEL_SIZE}
        if differing:
            image, other = next(iter(differing.items()))
            problems.append(
                Problem(
                    WARNING,
                    "",
                    "",
                    f"Voxel sizes differ after resizing in {len(differing)} of {len(sizes)} images: {_um(size)} in "
                    f"{first}, {_um(other)} in {image} (Z, Y, X); preprocess.voxel_size_um brings all to one.",
                )
            )
    return problems


def _um(size: Iterable[float]) -> str:
    return f"{' x '.join(f'{um:.3g}' for um in size)} um"


def mixed_channels(uses: Sequence[ChannelUse]) -> list[Problem]:
    """Find roles for which images differ in the channel's name or type: the channel may be a wrong one."""
    by_role: dict[tuple[str, str], list[ChannelUse]] = defaultdict(list)
    for use in uses:
        by_role[use.structure, use.role].append(use)
    problems = []
    for (structure, role), same in by_role.items():
        names = [
            (use.image, "is called", use.channel_name) for use in same if use.channel_name != f"channel {use.channel}"
        ]
        for found in (names, [(use.image, "is", use.dtype) for use in same]):
            if text := _differing(found):
                sentence = f"The {role} of {structure} {text}; check that it is the same channel."
                problems.append(Problem(WARNING, "", structure, sentence))
    return problems


def _differing(found: Sequence[tuple[str, str, str]]) -> str:
    """Write which values there are, with an image of the rarest; nothing if all are equal."""
    counts = Counter(value for _, _, value in found)
    if len(counts) < 2:
        return ""
    (most, num_most), *_, (rarest, num_rarest) = counts.most_common()
    image, verb, _ = next(entry for entry in found if entry[2] == rarest)
    example = f" ({image})" if num_rarest == 1 else f", such as {image}"
    return f"{verb} {most} in {num_most} of {len(found)} samples, but {rarest} in {num_rarest}{example}"
