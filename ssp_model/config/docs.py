"""Write the JSON schema and the docs table of the config keys: `python -m ssp_model.config.docs`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from ssp_model.config.schema import Config, Section, method_of, sections_of

TABLE_START, TABLE_END = "<!-- table -->\n", "<!-- /table -->\n"


def _rows(section: type[Section], defaults: Any, prefix: str = "") -> dict[str, str]:
    """Return the rows of the docs table by key: key, default, meaning."""
    rows: dict[str, str] = {}
    for key, field in section.model_fields.items():
        name = f"{prefix}{key}"
        value = defaults.get(key, field.default)
        kinds = sections_of(field)
        if len(kinds) > 1:
            rows |= _method_rows(kinds, value, name)
        elif kinds:
            rows |= _rows(kinds[0], value, f"{name}.")
        else:
            shown = f"{len(value)} entries" if isinstance(value, dict) else f"`{json.dumps(value)}`"
            rows[name] = f"| `{name}` | {shown} | {field.description} |"
    return rows


def _method_rows(kinds: Sequence[type[Section]], value: Any, name: str) -> dict[str, str]:
    """Return the rows of a section that differs between methods: first the methods, then the keys of all methods."""
    methods = {kind: kind.model_fields["method"] for kind in kinds}
    meanings = [f"`{method_of(kind)}`: {field.description}" for kind, field in methods.items()]
    rows = {f"{name}.method": f"| `{name}.method` | `{json.dumps(value['method'])}` | {' '.join(meanings)} |"}
    for kind in kinds:
        rows = _rows(kind, value, f"{name}.") | rows
    return dict(sorted(rows.items(), key=lambda row: row[0] != f"{name}.method"))


def schema_json() -> str:
    """Return the JSON schema of the config."""
    return json.dumps(Config.model_json_schema(), indent=2) + "\n"


def docs_table(config_yaml: Path) -> str:
    """Return the table of all keys, with the defaults of `config.yaml`."""
    defaults = yaml.safe_load(config_yaml.read_text())
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *_rows(Config, defaults).values()]) + "\n"


def write_derived(root: Path) -> None:
    """Write the schema and the docs table of the project at `root`."""
    (root / "workflow/schemas/config.schema.json").write_text(schema_json())
    page = root / "docs/config.md"
    before, _, rest = page.read_text().partition(TABLE_START)
    _, _, after = rest.partition(TABLE_END)
    page.write_text(before + TABLE_START + docs_table(root / "config.yaml") + TABLE_END + after)


if __name__ == "__main__":
    write_derived(Path(__file__).parents[2])
