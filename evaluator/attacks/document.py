"""docs/attacks.md, from the corpus.

`python -m evaluator.attacks.document > docs/attacks.md` writes it.
"""

from __future__ import annotations

import sys
from itertools import groupby
from typing import TYPE_CHECKING

from evaluator.attacks.controls import CONTROLS
from evaluator.attacks.corpus import corpus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from evaluator.attacks.corpus import Attack, Expected, Outcome

TITLES = {
    "cross": "From one run to the next",
    "filesystem": "Files",
    "gpu": "GPUs",
    "image": "Images at the door",
    "kernel": "The kernel's entry points",
    "limits": "More than was given",
    "model": "Models at the door",
    "network": "Ways out",
    "output": "The one file that comes back",
    "side": "Saying it without writing it",
    "training": "From training to prediction",
}
WORDS: dict[Outcome, str] = {
    "blocked": "stopped",
    "contained": "contained",
    "succeeds": "**works**",
    "absent": "absent",
    "unknown": "no answer",
    "-": "-",
}

_HEAD = """\
# Techniques, and what stops each

Generated from the corpus, `evaluator/attacks/rows/`, by `python -m evaluator.attacks.document`.
`tests/escape` tries every row and fails where one ends in another way than this page says. Its host
is a Debian 12 with Docker 20.10, runc 1.1 and a gVisor of 2022, Linux 6, cgroup v1 and no GPU.
`evaluator doctor` tries the first of the three ways on your own host.

Each technique is tried in three ways:

1. behind the wall: under the very settings, or at the very door, of a run;
2. in the open with one control: a container, or a reader, that permits nearly everything, with one
   thing of the wall back in place. Each control of a row is tried alone;
3. in the open: nothing stands in its way. Where it does not work here either, the other two ways
   have shown nothing, and the row says why.

| word | meaning |
|---|---|
| stopped | it has no effect; where the host could see one, the host saw none |
| **works** | its effect was seen, on the host wherever it has one there |
| contained | it works, and reaches nothing but gVisor's own kernel |
| absent | it cannot work on the host that these tests run on, whatever is allowed |
| no answer | the program was ended before it could say; the host saw no effect |
| - | not tried: the note says why, or nothing of it depends on the runtime |

A row marked *not claimed* is no part of the wall: only a setting of the host, a newer version or
gVisor stops it, or it is counted in bits. `doctor` and the signed result name what remains of them.
"""


def document() -> str:
    """The page."""
    rows = corpus()
    parts = [_HEAD, *_counts(rows)]
    for category, of_it in groupby(rows, key=lambda row: row.category):
        parts += [f"\n## {TITLES[category]}\n", *_table(of_it)]
    parts += ["\n## What was not shown here\n", *_not_shown(rows)]
    return "\n".join(parts) + "\n"


def tried_in_three_ways(row: Attack) -> bool:
    """Whether, under either runtime, no way was left out and the open one has shown its effect."""
    ways = (row.runc, row.runsc)
    return any("-" not in (w.wall, w.alone, w.open) and w.open == "succeeds" for w in ways)


def _counts(rows: Iterable[Attack]) -> Iterator[str]:
    rows = list(rows)
    three = sum(map(tried_in_three_ways, rows))
    absent = sum(row.runc.open == "absent" for row in rows)
    untried = sum(row.runc.wall == "-" for row in rows)
    yield (
        f"{len(rows)} techniques. {three} were tried in all three ways and work in the open; "
        f"{absent} cannot work under runc on the host of these tests; {untried} were never tried.\n"
    )
    yield "| | techniques | tried in three ways | not claimed |\n|---|---|---|---|"
    for category, of_it in groupby(rows, key=lambda row: row.category):
        group = list(of_it)
        count, open_too = len(group), sum(map(tried_in_three_ways, group))
        yield f"| {TITLES[category]} | {count} | {open_too} | {sum(not r.must for r in group)} |"


def _table(rows: Iterable[Attack]) -> Iterator[str]:
    yield "| id | what it does | stopped by | runc | gVisor | note |\n|---|---|---|---|---|---|"
    for row in rows:
        titles = ", ".join(CONTROLS[name].title for name in row.controls)
        note = " ".join(filter(None, ["" if row.must else "*Not claimed.*", row.note]))
        cells = (f"`{row.id}`", row.sentence, titles, _ways(row.runc), _ways(row.runsc), note)
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _ways(expected: Expected) -> str:
    return " / ".join(WORDS[way] for way in (expected.wall, expected.alone, expected.open))


def _not_shown(rows: Iterable[Attack]) -> Iterator[str]:
    """Rows of which this host could not show that anything was there to stop."""
    yield "| id | why |\n|---|---|"
    for row in rows:
        if row.runc.open != "succeeds" and row.runc.wall != "succeeds":
            yield f"| `{row.id}` | {row.note} |"


if __name__ == "__main__":
    sys.stdout.write(document())
