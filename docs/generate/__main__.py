"""``python -m docs.generate``: write the generated blocks of all documents anew, and gather the site's pages.

python -m docs.generate                  refresh the blocks
python -m docs.generate --stage FOLDER   gather what the site is built of
"""

import argparse
from pathlib import Path

from docs.generate.blocks import documents, refreshed
from docs.generate.registry import GENERATORS
from docs.generate.stage import stage


def main() -> None:
    """Do what was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m docs.generate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--stage", type=Path, metavar="FOLDER", help="gather the site's pages there, and refresh nothing"
    )
    asked = parser.parse_args()
    if asked.stage:
        stage(asked.stage.resolve())
        return
    for document in documents():
        text = document.read_text(encoding="utf-8")
        document.write_text(refreshed(text, GENERATORS), encoding="utf-8")


if __name__ == "__main__":
    main()
