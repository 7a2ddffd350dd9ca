"""Markdown: fill a template, and show it as HTML.

Each value that a template shows is escaped, so that a name from a stranger's file is only ever text.
"""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

from ssp_model.log import counted
from ssp_model.report.html import data_uri, size_text

UNKNOWN = "unknown"
"""What stands for a value that is None."""

SPECIAL = re.compile(r"([\\`*\[\]<>|~$#&]|(?<![^\W_])_|_(?![^\W_]))")
"""Characters that Markdown does not show as they are; an underscore within a word is shown."""

FIRST = re.compile(r"^(\d*)([.)+=-])(?=[\s=-]|$)")
"""What a list, a heading or a rule begins with."""

ADDRESS = re.compile(r"https?://[^\s<>\\`|]+")


class Markdown(str):
    """Text that is Markdown, and so needs no escape."""

    __slots__ = ()


def escape(value: object) -> str:
    """Write a value as Markdown in one line; None is unknown."""
    if isinstance(value, Markdown):
        return value
    text = " ".join(str(UNKNOWN if value is None else value).split())
    return FIRST.sub(r"\1\\\2", SPECIAL.sub(r"\\\1", text))


def code(value: object) -> Markdown:
    """Write a short text as code."""
    text = " ".join(str(value).split()).replace("|", "\\|")
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " if longest else ""
    return Markdown(f"{fence}{space}{text}{space}{fence}")


def sentence(value: object) -> Markdown:
    """Write a value as the end of a sentence, with its full stop."""
    text = escape(value)
    return Markdown(text if text.endswith((".", "!", "?")) else f"{text}.")


def shell(file: str) -> Markdown:
    """Write the name of a file as a shell takes it, for a block of code."""
    return Markdown(shlex.quote(" ".join(file.split())))


def linked(text: str | None) -> Markdown:
    """Write a text, with a link where all of it is a web address."""
    is_address = text is not None and ADDRESS.fullmatch(text)
    return Markdown(f"<{text}>") if is_address else Markdown(escape(text))


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]], *, num_text: int) -> Markdown:
    """Write a table.

    Parameters
    ----------
    heads : sequence of str
    rows : sequence of sequence
        The cells of each row; they are escaped.
    num_text : int
        Number of first columns that are text, aligned left. The others are numbers, aligned right.
    """
    sides = [":---" if column < num_text else "---:" for column in range(len(heads))]
    lines = [[escape(head) for head in heads], sides, *([escape(cell) for cell in row] for row in rows)]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


templates = Environment(
    loader=PackageLoader("ssp_model", "report/templates"),
    finalize=escape,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
templates.filters |= {
    "code": code,
    "counted": counted,
    "linked": linked,
    "sentence": sentence,
    "shell": shell,
    "size": size_text,
}


def fill(template: str, **values: object) -> str:
    """Fill a Markdown template.

    Parameters
    ----------
    template : str
        File name of the template.
    **values
        What the template shows.
    """
    text = templates.get_template(template).render(values)
    # parts that are left out leave their empty lines
    return re.sub(r"\n{3,}", "\n\n", text)


def to_html(markdown: str, folder: str | Path) -> Markup:
    """Return Markdown as HTML that holds its pictures. HTML in the Markdown is shown as text.

    Parameters
    ----------
    markdown : str
    folder : path
        Where the addresses of pictures start.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("table_open", lambda *_: '<div class="scroll"><table>\n')
    parser.add_render_rule("table_close", lambda *_: "</table></div>\n")
    tokens = parser.parse(markdown)
    for token in tokens:
        for child in token.children or ():
            if child.type == "image":
                child.attrSet("src", data_uri(Path(folder) / str(child.attrGet("src"))))
    return Markup(parser.renderer.render(tokens, parser.options, {}))
