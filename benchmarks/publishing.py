"""Write results to ``benchmarks/published``. The documents are generated from these files."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

PUBLISHED: Final = Path(__file__).with_name("published")


def publish(
    name: str, rows: Iterable[Mapping[str, Any]], *, folder: Path = PUBLISHED, **conditions: str | float
) -> Path:
    """Write the rows, one per line, with today's date and the conditions of the measurement."""
    head = json.dumps({"measured": datetime.now(UTC).date().isoformat(), **conditions}, indent=2, ensure_ascii=False)
    lines = ",\n".join(f"    {json.dumps(row, ensure_ascii=False)}" for row in rows)
    path = folder / f"{name}.json"
    path.write_text(f'{head.removesuffix("}").rstrip()},\n  "rows": [\n{lines}\n  ]\n}}\n', encoding="utf-8")
    return path
