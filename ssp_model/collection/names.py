"""Names of images in an archive: find the one that is meant, and say so where there is none.

An image list and an archive often come from different machines: a Mac writes `é` as two characters, Windows does not
tell `A.czi` from `a.czi`, and whoever packs a folder chooses its name. So a name that is not in the archive as it is
may be found by a weaker comparison, if it is the only one that fits, in both directions.
"""

import difflib
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

from ssp_model.collection.lists import member_name

# enough to be helpful, few enough to be fast
MAX_COMPARED = 1000
MAX_SHOWN = 3


def _with_one_form(name: str) -> str:
    return unicodedata.normalize("NFC", member_name(name.replace("\\", "/")))


def _with_one_case(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())


def _without_folders(name: str) -> str:
    return PurePosixPath(name).name


# each comparison is weaker than the one before, as it starts from its result: what is alike stays alike, so a later
# comparison can't join a name or a member that is joined already to another
COMPARISONS: tuple[Callable[[str], str], ...] = (member_name, _with_one_form, _with_one_case, _without_folders)


def match(names: Iterable[str], members: Iterable[str]) -> dict[str, str]:
    """Find the member that each name means.

    Compare exactly first (the last two parts, folder and file name), then without regard to the Unicode form and the
    kind of slash, then to the case, then to the folders. A comparison counts only where it joins exactly one name and
    one member.

    Parameters
    ----------
    names : iterable of str
        Names as `member_name` gives them, each once.
    members : iterable of str
        Names in the archive, each once.

    Returns
    -------
    dict of str to str
        The member of each name that has one. No member comes twice.
    """
    names, members = list(names), list(members)
    keys, member_keys = names, members
    matched: dict[str, str] = {}
    for comparison in COMPARISONS:
        keys, member_keys = [comparison(key) for key in keys], [comparison(key) for key in member_keys]
        groups, member_groups = _grouped(names, keys), _grouped(members, member_keys)
        for key, group in groups.items():
            others = member_groups.get(key, [])
            if len(group) == len(others) == 1:
                matched[group[0]] = others[0]
    return matched


def _grouped(names: Sequence[str], keys: Sequence[str]) -> dict[str, list[str]]:
    groups = defaultdict(list)
    for name, key in zip(names, keys, strict=True):
        groups[key].append(name)
    return groups


def missing_texts(names: Iterable[str], archive: object, members: Sequence[str]) -> dict[str, str]:
    """Return the sentence for each listed image that is not in the archive, with the nearest names that are."""
    alike = _grouped(members, [_weakest(member) for member in members])
    texts = {}
    for name in names:
        text = f"{name} is in the image list but not in {archive}"
        if _weakest(name) in alike:
            possible = _shown(alike[_weakest(name)])
            texts[name] = f"{text}, where it may be any of {possible}; write the one you mean in the list."
        else:
            near = difflib.get_close_matches(name, members[:MAX_COMPARED], MAX_SHOWN)
            nearest = f", where the nearest names are {', '.join(near)}" if near else ""
            texts[name] = f"{text}{nearest}; correct the list or pack the archive again."
    return texts


def all_missing_text(names: Sequence[str], archive: object, members: Sequence[str]) -> str:
    """Return the one sentence for an archive that holds none of the listed images."""
    text = f"{archive} holds none of the {len(names)} listed images, such as {names[0]}"
    if not members:
        return f"{text}: it holds no file; pack it again."
    folders = sorted({PurePosixPath(member).parent.name for member in members})
    wanted = {PurePosixPath(name).parent.name for name in names}
    called = "the archive's folder is called" if len(folders) == 1 else "the archive's folders are called"
    if folders == [""]:
        where = "the archive has no folder, and "
    elif wanted.isdisjoint(folders):
        where = f"{called} {_shown([folder or '(none)' for folder in folders])}, and "
    else:
        where = ""
    return f"{text}: {where}it holds files such as {_shown(members)}; correct the list or pack the archive again."


def _weakest(name: str) -> str:
    for comparison in COMPARISONS:
        name = comparison(name)
    return name


def _shown(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(names[:MAX_SHOWN]) + more
