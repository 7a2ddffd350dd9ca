"""Markdown: what users write is only text."""

import pytest
from markdown_it import MarkdownIt
from markupsafe import Markup

from ssp_model.report.markdown import Markdown, code, escape, fill, linked, sentence, shell, table, templates, to_html

EVIL = [
    "<script>alert(1)</script>",
    "a | b",
    "*bold* _it_ ~~gone~~ `code` $x$",
    "[link](javascript:alert(1)) ![x](y)",
    "# head",
    "- item",
    "12. item",
    "2) item",
    "+ item",
    "===",
    "---",
    "&lt; \\*",
    "first\n\nsecond",
    "> quote",
]


def shown(markdown: str) -> str:
    """The text of the only paragraph."""
    parser = MarkdownIt("gfm-like", {"linkify": False})
    opened, inline, closed = parser.parse(markdown)
    assert (opened.type, closed.type) == ("paragraph_open", "paragraph_close")
    assert {child.type for child in inline.children} <= {"text", "text_special"}
    return "".join(child.content for child in inline.children)


@pytest.mark.parametrize("text", EVIL)
def test_a_value_is_only_text(text):
    assert shown(escape(text)) == " ".join(text.split())


def test_plain_texts_stay_readable():
    for text in ("lamin_b1", "0.471 (0.4 to 0.5)", "-0.123", "1e-4", "R² is 1."):
        assert escape(text) == text


def test_nothing_told_is_unknown():
    assert escape(None) == linked(None) == "unknown"
    assert sentence(None) == "unknown."
    assert sentence("Cells.") == "Cells."


def test_a_template_escapes_what_is_no_markdown():
    text = templates.from_string("{{ plain }} {{ ours }}").render(plain="*a*", ours=Markdown("*b*"))
    assert text == "\\*a\\* *b*"


def test_code_and_file_names():
    assert code("train.epochs") == "`train.epochs`"
    assert code("a`b") == "`` a`b ``"
    assert shell("my model.safetensors") == "'my model.safetensors'"


def test_only_web_addresses_are_links():
    assert linked("https://example.org/a") == "<https://example.org/a>"
    assert linked("https://example.org/a>b") == "https://example.org/a\\>b"
    assert linked("javascript:alert(1)") == "javascript:alert(1)"


def test_a_table():
    text = table(["name", "n"], [("a|b", 1), (Markdown("*x*"), None)], num_text=1)
    assert text.splitlines() == ["| name | n |", "| :--- | ---: |", "| a\\|b | 1 |", "| *x* | unknown |"]


def test_html_holds_its_pictures_and_no_foreign_html(tmp_path):
    (tmp_path / "a.png").write_bytes(b"png")
    html = to_html("<b>x</b>\n\n![dot](a.png)\n\n| a |\n| :--- |\n| b |\n", tmp_path)
    assert isinstance(html, Markup)
    assert "&lt;b&gt;x&lt;/b&gt;" in html
    assert '<img src="data:image/png;base64,cG5n" alt="dot" />' in html
    assert '<div class="scroll"><table>' in html
    assert html.count("<div") == html.count("</div>") == 1


def test_a_missing_value_of_a_template_is_an_error():
    with pytest.raises(Exception, match="about"):
        fill("model_card.md.j2")
