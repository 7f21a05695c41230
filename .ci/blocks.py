"""The shell blocks of README.md and docs/.

``blocks.py NAME`` prints one; ``blocks.py --others NAME …`` prints the names of the rest.

A block is marked by the line ``<!-- ci: NAME -->`` directly above its fence. A shell block without a mark, or
two of one name, is an error: then some command in the text would not be run.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(
    r"^(?:<!-- ci: (?P<name>[\w-]+) -->\n+)?(?P<indent>[ \t]*)```(?P<language>bash|sh|shell|console)[^\n]*\n"
    r"(?P<text>.*?)^(?P=indent)```",
    re.MULTILINE | re.DOTALL,
)


def blocks() -> dict[str, str]:
    """Return every marked shell block by name, README first."""
    found: dict[str, str] = {}
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        text = path.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            name = match["name"]
            where = f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start()) + 1}"
            if name is None or match["language"] != "bash":
                raise SystemExit(f"{where}: shell block is not run; put <!-- ci: NAME --> above ```bash")
            if name in found:
                raise SystemExit(f"{where}: a second block is named {name!r}")
            found[name] = match["text"].strip()
    return found


def main(arguments: list[str]) -> None:
    """Print one block, or the names of all but some."""
    match arguments:
        case ["--others", *known]:
            found = blocks()
            if missing := [name for name in known if name not in found]:
                raise SystemExit(f"no block is marked {', '.join(missing)}")
            print(*(name for name in found if name not in known))
        case [name] if name in (found := blocks()):
            print(found[name])
        case _:
            raise SystemExit(f"usage: blocks.py NAME | --others NAME …; names: {', '.join(blocks())}")


if __name__ == "__main__":
    main(sys.argv[1:])
