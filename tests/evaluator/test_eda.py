"""What may be published of the data: nothing small, no pixel, nothing that either follows from."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from evaluator.cli.data import data
from evaluator.dataset.importing import ImportRules, import_tiles
from evaluator.dataset.sealed import Dataset, Seal, open_dataset, read_seal
from evaluator.eda import LEAST, Eda, eda_of, suppressed
from evaluator.eda_tables import eda_document
from evaluator.errors import OwnerError
from evaluator.site.data_page import data_page
from evaluator.workspace import CONFIG, init

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

Output = tuple[int | None, ...] | None
SIZES = {"barley": 30, "beet": 7, "hops": 14, "maize": 60, "rye": 24, "wheat": 80}
"""Half of each is held out: of beet 3 or 4 remain."""


@pytest.fixture
def sealed(tmp_path: Path) -> Callable[..., Dataset]:
    """Give a function that imports tiles of these classes, half of them held out."""

    def make(
        sizes: dict[str, int],
        shape: tuple[int, ...] = (4, 4, 3),
        dtype: str = "uint16",
        holdout: float = 0.5,
    ) -> Dataset:
        random = np.random.default_rng(7)
        tiles = [
            random.normal(1000 + 500 * place, 60, (count, *shape)).astype(dtype)
            for place, count in enumerate(sizes.values())
        ]
        source = tmp_path / "source"
        source.mkdir(parents=True)
        np.save(source / "tiles.npy", np.concatenate(tiles))
        np.save(source / "labels.npy", np.repeat(np.arange(len(sizes)), [*sizes.values()]))
        rules = ImportRules(tuple(sizes), 2)
        import_tiles(tmp_path / "data", source, rules, holdout=holdout, progress=lambda *_: None)
        return open_dataset(tmp_path / "data")

    return make


# Suppression


def rarest(counts: Sequence[int], number: int) -> tuple[int, ...]:
    """As an import chooses rare classes and results list them: from the rarest up."""
    return tuple(sorted(range(len(counts)), key=lambda place: counts[place])[:number])


def tables(classes: int, total: int) -> Iterator[tuple[int, ...]]:
    """Every way to have this many tiles with no class empty."""
    for first in product(range(1, total), repeat=classes - 1):
        if sum(first) < total:
            yield (*first, total - sum(first))


def derived(
    classes: int, total: int, rare: int, below: int, hide: Callable[..., Output]
) -> list[tuple[Output, int]]:
    """What a reader derives who knows the sum, the rule and the rare classes in their order.

    He goes through every table of counts that would give the page he sees. A hidden count that is
    the same in all of them is derived, unless the sum and the order alone tell it already.
    """
    seen, known = defaultdict(list), defaultdict(list)
    for counts in tables(classes, total):
        order = rarest(counts, rare)
        page = hide(counts, [place in order for place in range(classes)], below)
        seen[order, page].append(counts)
        known[order].append(counts)
    return [
        (page, place)
        for (order, page), fitting in seen.items()
        for place in range(classes)
        if (page is None or page[place] is None)
        and len({counts[place] for counts in fitting}) < 2
        and len({counts[place] for counts in known[order]}) > 1
    ]


@pytest.mark.parametrize("below", [LEAST, 5, 7])
@pytest.mark.parametrize(("classes", "most"), [(2, 40), (3, 26), (4, 17)])
def test_no_hidden_count_can_be_derived(classes: int, most: int, below: int) -> None:
    """Of all small tables, with every number of rare classes."""
    for total in range(classes, most + 1):
        for rare in range(1, classes):
            assert derived(classes, total, rare, below, suppressed) == []


def only_small(counts: Sequence[int], _: Sequence[bool], below: int) -> Output:
    """The naive rule: a small count is hidden, and nothing else."""
    return tuple(tiles if tiles >= below else None for tiles in counts)


def small_and_next(counts: Sequence[int], _: Sequence[bool], below: int) -> Output:
    """The usual rule: the smallest of the others is hidden too, without a look at what is left."""
    order = sorted(range(len(counts)), key=lambda place: counts[place])
    small = sum(tiles < below for tiles in counts)
    hidden = order[: small + 1] if small else []
    return tuple(None if place in hidden else tiles for place, tiles in enumerate(counts))


@pytest.mark.parametrize("rule", [only_small, small_and_next])
def test_the_reader_derives_what_simpler_rules_hide(rule: Callable[..., Output]) -> None:
    """The control of the test above: the same reader gets through these."""
    assert derived(3, 20, 1, 5, rule)


@given(st.lists(st.integers(1, 60), min_size=2, max_size=9), st.integers(LEAST, 20), st.data())
def test_what_is_shown_is_not_small_and_hides_two(
    counts: list[int], below: int, chance: st.DataObject
) -> None:
    """All counts or none where nothing is small; else at least two hidden, and one large enough."""
    order = rarest(counts, chance.draw(st.integers(1, len(counts) - 1)))
    page = suppressed(counts, [place in order for place in range(len(counts))], below)

    if min(counts) >= below:
        assert page == tuple(counts)
    elif page is not None:
        hidden = [tiles for tiles, shown in zip(counts, page, strict=True) if shown is None]
        assert len(hidden) >= 2
        assert max(hidden) >= below
        assert all(shown in {None, tiles} for tiles, shown in zip(counts, page, strict=True))
        assert min(shown for shown in page if shown is not None) >= below


def test_a_usual_table_keeps_most_of_its_classes() -> None:
    """One small class of nine takes one other with it."""
    counts = (243, 97, 341, 6, 308, 73, 211, 36, 406)
    rare = [tiles in {6, 36} for tiles in counts]

    assert suppressed(counts, rare, 10) == (243, 97, 341, None, 308, 73, 211, None, 406)


# What the seal has, and what is published of it


def test_the_seal_has_the_statistics_of_each_class(sealed: Callable[..., Dataset]) -> None:
    """Over its tiles of both sides; merged, they are those of all tiles."""
    dataset = sealed(SIZES)
    seal = read_seal(dataset.folder)
    assert dataset.training is not None
    sides = (dataset.holdout, dataset.training)
    tiles = np.concatenate([np.load(side.tiles) for side in sides]).astype(float)
    labels = np.concatenate([np.load(side.labels) for side in sides])

    assert seal.class_bands is not None
    for label, bands in enumerate(seal.class_bands):
        for number, band in enumerate(bands):
            values = tiles[labels == label][..., number]
            assert band.mean == pytest.approx(values.mean())
            assert band.std == pytest.approx(values.std())
    for number, whole in enumerate(seal.bands):
        values = tiles[..., number]
        assert whole.mean == pytest.approx(values.mean())
        assert whole.std == pytest.approx(values.std())
        assert (whole.minimum, whole.maximum) == (values.min(), values.max())


def without_class_bands(dataset: Dataset) -> None:
    """Make the seal one of an earlier version of this program."""
    path = dataset.folder / "seal.json"
    document = json.loads(path.read_text())
    del document["class_bands"]
    path.chmod(0o600)
    path.write_text(json.dumps(document))


def test_an_older_seal_is_read_and_has_no_spectra(sealed: Callable[..., Dataset]) -> None:
    """Everything else is there."""
    dataset = sealed(SIZES)
    before = eda_of(dataset, 10, class_sizes=True)
    without_class_bands(dataset)

    after = eda_of(dataset, 10, class_sizes=True)

    assert before.spectra
    assert after.spectra == ()
    assert (after.classes, after.bands) == (before.classes, before.bands)
    assert "earlier version" in data_page(after)


def test_a_seal_with_too_few_class_statistics_is_refused(sealed: Callable[..., Dataset]) -> None:
    """One for each band of each class."""
    seal = read_seal(sealed(SIZES).folder)
    document = json.loads(seal.model_dump_json())
    assert Seal.model_validate_json(json.dumps(document)) == seal
    document["class_bands"] = document["class_bands"][:-1]

    with pytest.raises(ValueError, match="class statistics"):
        Seal.model_validate_json(json.dumps(document))


def test_small_classes_are_told_of_nowhere(sealed: Callable[..., Dataset]) -> None:
    """Neither their counts nor their spectra; the smallest of the others goes with them."""
    dataset = sealed(SIZES)
    eda = eda_of(dataset, 10, class_sizes=True)
    assert dataset.training is not None
    exact = dict(zip(SIZES, dataset.training.counts, strict=True))
    hidden = {row.name for row in eda.classes if row.hidden}

    assert hidden == {"beet", "hops", "rye"}  # 7 and 3 of the first two; 12 of the third
    assert {row.name: row.tiles for row in eda.classes if not row.hidden} == {
        name: count for name, count in exact.items() if name not in hidden
    }
    assert {each.name for each in eda.spectra} == set(SIZES) - hidden


def test_without_class_sizes_there_are_only_shares(sealed: Callable[..., Dataset]) -> None:
    """In steps that are as many tiles as may be told of: 5 of 107 are 5 %."""
    dataset = sealed(SIZES)
    eda = eda_of(dataset, 5, class_sizes=False)
    shown = [row for row in eda.classes if not row.hidden]

    assert eda.step == 5
    assert all(row.tiles is None for row in eda.classes)
    assert shown
    assert all(row.percent is not None and row.percent % 5 == 0 for row in shown)
    assert str(sum(row.percent or 0 for row in shown)) != "0"


def numbers_of(eda: Eda) -> set[float]:
    """Every number of the document."""
    text = json.dumps(eda_document(eda))
    return {float(each) for each in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)}


def test_holdout_counts_are_never_published(sealed: Callable[..., Dataset]) -> None:
    """Whatever the owner allows in results."""
    dataset = sealed({"barley": 1033, "maize": 1511, "wheat": 2207}, shape=(2, 2), holdout=0.3)
    for class_sizes in (True, False):
        published = numbers_of(eda_of(dataset, 10, class_sizes=class_sizes))

        assert published.isdisjoint({float(count) for count in dataset.holdout.counts})
        assert float(dataset.holdout.size) in published


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_no_minimum_and_no_maximum_is_published_or_follows(
    sealed: Callable[..., Dataset], dtype: str
) -> None:
    """Nor from a mean that stands there both as it is and normalised."""
    dataset = sealed({"barley": 40, "maize": 60}, dtype=dtype)
    seal, eda = read_seal(dataset.folder), eda_of(dataset, 10, class_sizes=True)
    extremes = {end for band in seal.bands for end in (band.minimum, band.maximum)}

    # Two unknowns, the ends of the range, from mean and deviation: what a reader would compute.
    for band in eda.bands:
        span = band.std / band.spread
        low = band.mean - band.level * span
        for end in extremes - {0.0, 255.0}:  # in uint8 tiles of this brightness, the dtype's ends
            assert abs(low - end) > 1
            assert abs(low + span - end) > 1
    assert numbers_of(eda).isdisjoint(extremes - {0.0, 1.0, 2.0, 3.0, 4.0})


def test_too_few_tiles_for_shares_are_no_shares(sealed: Callable[..., Dataset]) -> None:
    """20 % of ten tiles are two; the page says why, and has no spectrum either."""
    eda = eda_of(sealed({"barley": 10, "maize": 10}), 10, class_sizes=False)

    assert (eda.classes, eda.spectra) == ((), ())
    assert "too few tiles" in data_page(eda)


def test_where_a_count_would_follow_there_is_no_distribution(
    sealed: Callable[..., Dataset],
) -> None:
    """Two classes, one of them small: the sum tells it."""
    eda = eda_of(sealed({"barley": 6, "maize": 60}), 10, class_sizes=True)

    assert (eda.classes, eda.spectra) == ((), ())
    assert "fewer than 10" in eda.absent


def test_a_threshold_of_one_is_refused_and_of_two_is_taken_for_four(
    sealed: Callable[..., Dataset],
) -> None:
    """Fewer than two is one."""
    dataset = sealed(SIZES)

    with pytest.raises(OwnerError, match="below 2"):
        eda_of(dataset, 1, class_sizes=True)
    assert eda_of(dataset, 2, class_sizes=True).suppress_below == LEAST


# The command and the page


def test_the_command_writes_what_the_settings_allow(
    tmp_path: Path, sealed: Callable[..., Dataset]
) -> None:
    """Tables, a document, a page: of class sizes, and of shares where sizes are kept back."""
    sealed(SIZES)
    workspace = init(tmp_path / "farm", class_sizes=True)
    workspace.data.rmdir()
    workspace.data.symlink_to(tmp_path / "data")
    where = ["--workspace", str(workspace.root)]

    said = CliRunner().invoke(data, ["eda", *where])
    document = json.loads(CliRunner().invoke(data, ["eda", "--json", *where]).stdout)
    page = tmp_path / "data.html"
    silent = CliRunner().invoke(data, ["eda", "--html", str(page), *where])

    assert "not shown" in said.stdout
    assert (document["schemaVersion"], document["step"]) == (1, None)
    assert silent.stdout == ""
    assert "<svg" in page.read_text()
    config = workspace.root / CONFIG
    config.write_text(config.read_text().replace("class_sizes = true", "class_sizes = false"))
    kept = json.loads(CliRunner().invoke(data, ["eda", "--json", *where]).stdout)
    assert {row["tiles"] for row in kept["classes"]} <= {None}


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 3), (4, 4, 13)])
def test_the_page_has_every_figure_in_a_table_and_fetches_nothing(
    sealed: Callable[..., Dataset], shape: tuple[int, ...]
) -> None:
    """For one band, for three and for thirteen."""
    eda = eda_of(sealed(SIZES, shape=shape), 10, class_sizes=True)
    page = data_page(eda)

    for spectrum in eda.spectra:
        for level in spectrum.levels:
            assert f"{level:.4f}" in page
    for row in eda.classes:
        assert row.tiles is None or f'data-v="{row.tiles}"' in page
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", page)
    assert data_page(eda) == page
