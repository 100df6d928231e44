"""Bringing tiles in: read, check, split, shuffle, seal.

    survey   decode every tile into a scratch pool, on every core, and list every problem
    split    choose the holdout: by class, whole groups, and never the same pixels on both sides
    seal     write both sides in a secret random order, hash them, publish the version

The modules in that order: `sources` (with `archives`, `arrays`), `decoders` (with `child`,
`decoding`, `plain_tiff`, `geotiff`, `scratch`), `survey`, `pool` (with `digests`); `planning` (with
`splitting`); `sealing` (with `commitment`, `tally`, `bands`), `draft`. `sealed` opens what they
made.

An import with a problem brings in nothing, unless it is told to leave the bad tiles out.
"""

from dataclasses import dataclass
from pathlib import Path

from evaluator.dataset.decoders import Decoders
from evaluator.dataset.draft import new_version
from evaluator.dataset.groups import group_ids
from evaluator.dataset.planning import Plan, check_rare, make_plan
from evaluator.dataset.pool import Pool, add_version
from evaluator.dataset.problems import ImportProblems, Problem
from evaluator.dataset.sealed import Dataset, open_dataset
from evaluator.dataset.sealing import seal
from evaluator.dataset.sources import declared_classes, read_tiles
from evaluator.dataset.splitting import check_holdout
from evaluator.dataset.survey import Expected, class_problems, repeats, survey
from evaluator.dataset.targets import TargetRule
from evaluator.dataset.tiles import Progress
from evaluator.errors import OwnerError


@dataclass(frozen=True, slots=True)
class ImportRules:
    """What the owner's settings say of a dataset.

    `classes` in the order of their labels; empty means as found, sorted. `rare` is how many
    classes count as rare, the least frequent of the training set, or their names. `shape` is
    the (height, width) of every tile; None means that of the first. `targets` is there where a
    number is to be predicted for each tile, and not its class.
    """

    classes: tuple[str, ...] = ()
    rare: int | tuple[str, ...] = 4
    shape: tuple[int, int] | None = None
    targets: TargetRule | None = None

    def __post_init__(self) -> None:
        """Raise OwnerError for rules that no import can satisfy, before hours of reading."""
        if len(set(self.classes)) < len(self.classes):
            raise OwnerError("Two classes have the same name. Give each its own.")
        check_rare(self.rare, self.classes)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    `skipped` counts tiles left out, `left_out` says why, one text per problem; `duplicates`
    counts copies of a tile on the same side as the tile; `asked` is the holdout that was asked
    for, which whole groups may miss.
    """

    dataset: Dataset
    skipped: int
    left_out: tuple[str, ...]
    duplicates: int
    asked: int


def import_tiles(  # noqa: PLR0913 - each is an option of `data import`, named by its callers
    data: Path,
    source: Path,
    rules: ImportRules,
    *,
    holdout: float,
    grayscale: bool = False,
    skip_bad: bool = False,
    add: bool = False,
    progress: Progress,
) -> ImportReport:
    """Import `source` as the next version of the dataset in `data`.

    `holdout` is a number of tiles (int) or a share of them (float). With `add`, the tiles of the
    current version stay on their sides, and `holdout` is of the new ones alone.
    Raises ImportProblems with everything that is wrong, and OwnerError for a source, a holdout
    or a disk that cannot be used. Whatever is raised, the dataset is then as it was.
    """
    check_holdout(holdout)
    with new_version(data) as draft, Pool(draft.folder / "pool") as pool:
        current = open_dataset(data) if add else None
        if current:
            _require_same_task(current, rules)
            add_version(pool, current, keep_sides=True, progress=progress)
        classes = _classes(current, rules) or declared_classes(source)
        known_groups = any(pool.groups)
        ids = group_ids(data, key_must_exist=known_groups)
        expected = Expected(classes, rules.shape, ids, rules.targets)
        with Decoders(pool.new_scratch, grayscale=grayscale) as decoders:
            problems = survey(read_tiles(source, classes, decoders, progress), pool, expected)
        classes = classes or tuple(sorted(set(pool.labels)))
        problems += class_problems(pool, classes, 1 if rules.targets else 2)
        if any(problem.tiles is None or not skip_bad for problem in problems):
            raise ImportProblems([*problems, *repeats(pool)])
        plan = make_plan(pool, classes, rules.rare, holdout, skip_bad=skip_bad)
        seal(draft, pool, plan, rules.targets, progress)
    return _report(open_dataset(data), plan, problems)


def split_again(
    data: Path,
    rules: ImportRules,
    *,
    holdout: float,
    skip_bad: bool = False,
    progress: Progress,
) -> ImportReport:
    """Make the next version from the tiles of the current one, with another holdout.

    `skip_bad` drops a training tile whose copy comes into the holdout, which is refused
    otherwise. Raises OwnerError as `import_tiles` does.
    """
    check_holdout(holdout)
    with new_version(data) as draft, Pool(draft.folder / "pool") as pool:
        current = open_dataset(data)
        _require_same_task(current, rules)
        classes = _classes(current, rules)
        add_version(pool, current, keep_sides=False, progress=progress)
        plan = make_plan(pool, classes, rules.rare, holdout, skip_bad=skip_bad)
        seal(draft, pool, plan, rules.targets, progress)
    return _report(open_dataset(data), plan, [])


def _require_same_task(current: Dataset, rules: ImportRules) -> None:
    """Tiles of two tasks, units or ranges are not one dataset."""
    wanted = rules.targets and (rules.targets.unit, (rules.targets.low, rules.targets.high))
    have = current.unit and (current.unit, current.range)
    if wanted != have:
        raise OwnerError(
            "The settings have another task, unit or range of targets than version "
            f"{current.version} of the dataset has. Make them equal, or import all tiles afresh."
        )


def _classes(current: Dataset | None, rules: ImportRules) -> tuple[str, ...]:
    """Return the classes that tiles must be of; empty if they are to be found."""
    if current is None or rules.classes == current.classes:
        return rules.classes
    if rules.classes:
        raise OwnerError(
            f"The settings list other classes than version {current.version} of the dataset has. "
            "Make them equal, or import all tiles afresh."
        )
    return current.classes


def _report(dataset: Dataset, plan: Plan, problems: list[Problem]) -> ImportReport:
    return ImportReport(
        dataset=dataset,
        skipped=sum(problem.tiles or 0 for problem in problems) + plan.copies,
        left_out=tuple(f"{problem.kind}: {problem.text}" for problem in problems),
        duplicates=plan.duplicates,
        asked=plan.asked,
    )
