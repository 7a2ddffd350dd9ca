"""The JSON schema and the docs table of the configuration; `python -m ssp_model.config.docs` writes both."""

import json
from pathlib import Path
from typing import Any

import yaml

from ssp_model.config.schema import Config, Section

TABLE_START, TABLE_END = "<!-- table -->\n", "<!-- /table -->\n"


def _rows(section: type[Section], defaults: Any, prefix: str = "") -> list[str]:
    """Rows of the table in the docs: key, default, meaning."""
    rows = []
    for key, field in section.model_fields.items():
        options = getattr(field.annotation, "__args__", (field.annotation,))
        inner = next((kind for kind in options if isinstance(kind, type) and issubclass(kind, Section)), None)
        value = defaults[key]
        if inner:
            rows += _rows(inner, value, f"{prefix}{key}.")
        else:
            shown = f"{len(value)} entries" if isinstance(value, dict) else f"`{json.dumps(value)}`"
            rows.append(f"| `{prefix}{key}` | {shown} | {field.description} |")
    return rows


def schema_json() -> str:
    """The JSON schema of the configuration."""
    return json.dumps(Config.model_json_schema(), indent=2) + "\n"


def docs_table(config_yaml: Path) -> str:
    """The table of all keys, with the defaults of `config.yaml`."""
    defaults = yaml.safe_load(config_yaml.read_text())
    return "\n".join(["| key | default | meaning |", "|---|---|---|", *_rows(Config, defaults)]) + "\n"


def write_derived(root: Path) -> None:
    """Write the schema and the docs table of the project at `root`."""
    (root / "workflow/schemas/config.schema.json").write_text(schema_json())
    page = root / "docs/config.md"
    before, _, rest = page.read_text().partition(TABLE_START)
    _, _, after = rest.partition(TABLE_END)
    page.write_text(before + TABLE_START + docs_table(root / "config.yaml") + TABLE_END + after)


if __name__ == "__main__":
    write_derived(Path(__file__).parents[2])
