"""What each model would cost: the use case's numbers, the laws of the arithmetic, the inputs."""

from __future__ import annotations

import datetime as dt
import json
import re
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from evaluator import journal
from evaluator.board.ranking import METRICS, ranked
from evaluator.board.values import Board, Row, Snapshot
from evaluator.bundle import encode
from evaluator.cli.decide import decide_command
from evaluator.decision.assumptions import EXAMPLE, load_assumptions
from evaluator.decision.candidates import Chosen, decision_of, from_board
from evaluator.decision.decide import INTERNAL, Candidate, Case, Decision, Line, decide
from evaluator.decision.tables import exact, print_decision, rounded
from evaluator.errors import OwnerError, VerificationError
from evaluator.journal import publish_window
from evaluator.scoring import Figures, Grid, Holdout, Published, derive
from tests.helpers.logged import KEYID, PUBLIC, golden, signed
from tests.helpers.window import open_farm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PUBLISHED = re.sub(r"\w+_interval = .*\n", "", EXAMPLE)
"""The use case's own numbers, which have no intervals."""

MINE = """
version = 1
currency = "EUR"
area_km2 = 1000
cost_per_misclassified_km2 = 20.5
[internal]
accuracy = 0.85
annual_cost = 1234.56
[licence]
acme = 0.25
"""


@pytest.fixture
def decided(tmp_path: Path) -> Callable[..., Decision]:
    """Give a function from the text of an assumptions file to the decision of its what-ifs."""

    def make(text: str) -> Decision:
        path = tmp_path / "assumptions.toml"
        path.write_text(text)
        return decision_of(load_assumptions(path), Chosen((), ()))

    return make


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Give a function that runs the command on assumptions and signed statements."""
    key = tmp_path / "key.pub"
    key.write_bytes(PUBLIC)

    def make(text: str, *bundles: bytes, options: tuple[str, ...] = ()) -> Result:
        path = tmp_path / "assumptions.toml"
        path.write_text(text)
        files = []
        for number, bundle in enumerate(bundles):
            files.append(tmp_path / f"{number}.sigstore.json")
            files[-1].write_bytes(bundle)
        arguments = [str(path), *map(str, files), *options]
        believed = () if "--board" in options else ("--key", str(key))
        return CliRunner().invoke(decide_command, [*arguments, *believed])

    return make


def by_name(decision: Decision) -> dict[str, Line]:
    """Its lines."""
    return {line.candidate.name: line for line in decision.lines}


def result(vendor: str = "acme", run_name: str = "0123456789abcdef", **changes: Any) -> bytes:  # noqa: ANN401
    """A golden result, signed, of another vendor and run; `changes` are of its predicate."""
    statement = golden(changes.pop("name", "result-scored.json"))
    statement["predicate"] |= {"vendor": vendor, "run": run_name, **changes}
    return signed(statement)


def receipt(vendor: str = "acme", *, currency: str = "EUR", price: str | None = "0.40") -> bytes:
    """The signed receipt of the submission that the golden results are about."""
    statement = golden()
    said = {
        "number": 1,
        "run": None,
        "vendor": vendor,
        "kind": "onnx",
        "digest_of": "file",
        "phases": "both",
        "recipe": None,
        "adapted": None,
        "offer": {"currency": currency, "per_km2": price} if price else None,
        "received": "2026-11-20T10:00:00Z",
    }
    kind = "https://submission-evaluator.example/submission-received/v1"
    return signed(statement | {"predicateType": kind, "predicate": said})


# The use case's own numbers


@pytest.mark.parametrize(
    ("name", "area", "errors", "total", "saving"),
    [
        (INTERNAL, 232_500, 4_185_000, 4_465_000, None),
        ("vendor A", 138_000, 2_484_000, 2_859_000, 1_606_000),
        ("vendor B", 82_500, 1_485_000, 1_815_000, 2_650_000),
        ("vendor C", 102_000, 1_836_000, 1_986_000, 2_479_000),
    ],
)
def test_the_use_cases_published_numbers_come_out(  # each a column of its table
    decided: Callable[..., Decision],
    name: str,
    area: int,
    errors: int,
    total: int,
    saving: int | None,
) -> None:
    """1,500,000 km2, EUR 18 an error, 84.5, 90.8, 94.5 and 93.2 %: to the euro, and exactly so."""
    line = by_name(decided(PUBLISHED))[name]

    assert [line.area, line.errors, line.total, line.saving] == [area, errors, total, saving]


def test_the_use_cases_order_and_break_even_prices(decided: Callable[..., Decision]) -> None:
    """B, C, A, internal; B may ask 3.0 M EUR over 1.5 M km2 before the internal model is level."""
    decision = decided(PUBLISHED)
    first = decision.lines[0]

    assert [line.candidate.name for line in decision.lines] == [
        "vendor B",
        "vendor C",
        "vendor A",
        INTERNAL,
    ]
    assert first.internal is not None
    assert first.best is not None
    assert first.internal.price == Fraction(4_465_000 - 1_485_000, 1_500_000)
    assert (first.best.other.name, first.best.price) == ("vendor C", Fraction("0.334"))


def test_intervals_can_change_the_order(decided: Callable[..., Decision]) -> None:
    """On 5,000 tiles B and C cannot be told apart by cost; A and the internal model can."""
    decision = decided(EXAMPLE)

    assert {line.candidate.name: line.ranks for line in decision.lines} == {
        "vendor B": (1, 2),
        "vendor C": (1, 2),
        "vendor A": (3, 3),
        INTERNAL: (4, 4),
    }
    possible = [(swap.first.name, swap.second.name) for swap in decision.swaps if swap.possible]
    assert possible == [("vendor B", "vendor C")]
    assert not decision.settled
    assert decided(PUBLISHED).settled


def test_yields_are_decided_by_their_mean_absolute_error(decided: Callable[..., Decision]) -> None:
    """0.6 t/ha over 100 km2 at 50 EUR each are 3,000 EUR; less error is better."""
    decision = decided(
        'version = 1\ncurrency = "EUR"\narea_km2 = 100\ncost_per_unit_error = 50\n'
        "[internal]\nmae = 0.6\nannual_cost = 10.50\n"
        '[[hypothetical]]\nname = "a"\nmae = 0.4\nmae_interval = [0.3, 0.7]\nlicence_per_km2 = 5\n'
    )
    lines = by_name(decision)

    assert (lines[INTERNAL].total, lines[INTERNAL].area) == (Fraction("3010.5"), None)
    assert [lines["a"].total, *lines["a"].ends] == [2500, 2000, 4000]
    assert lines["a"].ranks == (1, 2)
    assert decision.swaps[0].first_at == Fraction(6021, 10_000) - Fraction(1, 10)


# Laws

numbers = st.integers(0, 10_000)
candidates = st.builds(
    lambda figures, price, cost: (
        tuple(Fraction(each, 10_000) for each in sorted(figures)),
        Fraction(price, 10_000),
        Fraction(cost, 100),
    ),
    st.lists(numbers, min_size=3, max_size=3),
    numbers,
    numbers,
)
cases = st.builds(
    lambda task, area, cost: Case(task, "EUR", Fraction(area, 100), Fraction(cost, 100)),
    st.sampled_from(["classification", "regression"]),
    st.integers(1, 10**9),
    st.integers(1, 10**5),
)


def candidate(name: str, given: tuple[tuple[Fraction, ...], Fraction, Fraction]) -> Candidate:
    """One of `candidates` under a name."""
    (low, figure, high), price, cost = given
    return Candidate(name, signed=True, figure=figure, ends=(low, high), price=price, own_cost=cost)


def table(case: Case, rows: list[Any]) -> Decision:
    """The first is the internal model."""
    named = [candidate(chr(ord("a") + place), row) for place, row in enumerate(rows)]
    return decide(case, named[0], named[1:])


@given(cases, candidates, numbers, numbers)
def test_a_better_figure_never_costs_more(case: Case, row: Any, one: int, other: int) -> None:  # noqa: ANN401
    """The total is monotone in the accuracy, and in the error."""
    (low, _, high), price, cost = row
    totals = [
        table(case, [((low, Fraction(each, 10_000), high), price, cost)]).lines[0].total
        for each in sorted((one, other))
    ]

    assert totals == sorted(totals, reverse=case.task == "classification")


@given(cases, st.lists(candidates, min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(case: Case, rows: list[Any], chance: Any) -> None:  # noqa: ANN401
    """The table is one of a set of models."""
    named = [candidate(chr(ord("a") + place), row) for place, row in enumerate(rows)]
    internal, *offered = named
    shuffled = [*offered]
    chance.shuffle(shuffled)

    assert decide(case, internal, offered) == decide(case, internal, shuffled)


@given(cases, st.lists(candidates, min_size=2, max_size=4))
def test_at_the_break_even_price_totals_are_equal(case: Case, rows: list[Any]) -> None:
    """Exactly, with the internal model and with the best of the others; also a price below 0."""
    for line in table(case, rows).lines:
        for level in (line.internal, line.best):
            if level is not None:
                other = next(
                    each for each in table(case, rows).lines if each.candidate == level.other
                )
                rest = line.errors + line.candidate.own_cost
                assert rest + level.price * case.area == other.total


@given(cases, st.lists(candidates, min_size=2, max_size=4))
def test_at_the_level_figure_totals_are_equal(case: Case, rows: list[Any]) -> None:
    """Exactly: of either of a pair, the other staying as it is."""
    decision = table(case, rows)
    lines = by_name(decision)
    for swap in decision.swaps:
        first, second = lines[swap.first.name], lines[swap.second.name]
        for own, other, at in (
            (first, second, swap.first_at),
            (second, first, swap.second_at),
        ):
            assert own.total - own.errors + case.cost(case.error(at)) == other.total


@given(cases, st.lists(candidates, min_size=2, max_size=4))
def test_ranks_are_those_of_every_corner_of_the_intervals(case: Case, rows: list[Any]) -> None:
    """The best and the worst rank are reached, and none beyond them."""
    decision = table(case, rows)
    lines = decision.lines
    reached: dict[str, set[int]] = {line.candidate.name: set() for line in lines}
    for totals in product(*(line.ends for line in lines)):
        for line, total in zip(lines, totals, strict=True):
            reached[line.candidate.name].add(1 + sum(each < total for each in totals))

    for line in lines:
        found = reached[line.candidate.name]
        assert (min(found), max(found)) == line.ranks
        assert line.ranks[0] <= line.rank <= line.ranks[1]


@given(st.fractions(), st.integers(0, 8))
def test_rounding_is_to_the_nearest(value: Fraction, places: int) -> None:
    """Never further away than half a unit of the last place."""
    text = rounded(value, places).replace(",", "")

    assert abs(Fraction(text) - value) <= Fraction(1, 2 * 10**places)


@given(st.decimals(-(10**12), 10**12, places=6))
def test_documents_have_sums_exactly(value: Any) -> None:  # noqa: ANN401 - a Decimal
    """As many decimals as there are, and no thousands apart."""
    assert Fraction(exact(Fraction(value))) == Fraction(value)


def test_a_third_is_no_decimal() -> None:
    """So nothing is silently rounded in a document."""
    with pytest.raises(OverflowError):
        exact(Fraction(1, 3))


# Signed results


def test_a_signed_result_counts_with_its_fine_tuned_accuracy(run: Callable[..., Result]) -> None:
    """93.3 % of [89.89, 95.62], by the price in the file; decimals are those that were signed."""
    said = json.loads(run(MINE, result(), options=("--json",)).stdout)

    (acme, internal) = said["models"]
    assert acme["model"] == "acme"
    assert acme["signed"] is True
    assert (acme["phase"], acme["keyid"]) == ("tuned", KEYID)
    assert (acme["figure"], acme["figure_interval"]) == ("0.933", ["0.8989", "0.9562"])
    assert acme["total"] == "1623.5"  # 0.067 x 1000 x 20.5 + 250
    assert (internal["total"], internal["signed"]) == ("4309.56", False)
    assert acme["saving"] == "2686.06"


def test_the_phase_can_be_chosen(run: Callable[..., Result]) -> None:
    """As submitted, it was right of 84.7 %."""
    said = json.loads(run(MINE, result(), options=("--json", "--phase", "baseline")).stdout)

    assert {each["figure"] for each in said["models"]} == {"0.847", "0.85"}


def test_without_a_fine_tuned_phase_the_baseline_counts(run: Callable[..., Result]) -> None:
    """Its training ran out of time."""
    said = json.loads(
        run(MINE, result(name="result-tuned-timeout.json"), options=("--json",)).stdout
    )

    assert [each["phase"] for each in said["models"] if each["signed"]] == ["baseline"]


def test_a_result_without_a_score_is_left_out_and_named(run: Callable[..., Result]) -> None:
    """With its status, beside one that has a score."""
    failed = result("zenith", "f" * 16, name="result-timeout.json")
    done = run(MINE, result(), failed, options=("--json",))

    assert json.loads(done.stdout)["left_out"] == [
        {"model": "zenith", "reason": "tuned: not run, baseline: TIMEOUT"}
    ]


def test_two_results_of_one_vendor_are_told_apart(run: Callable[..., Result]) -> None:
    """By the beginning of their runs."""
    done = run(MINE, result(), result(run_name="f" * 16), options=("--json",))

    names = {each["model"] for each in json.loads(done.stdout)["models"]}
    assert names == {"acme 01234567", "acme ffffffff", INTERNAL}


def test_the_offer_in_a_receipt_stands_where_the_file_has_no_price(
    run: Callable[..., Result],
) -> None:
    """0.40 EUR; and the file's price stands before it."""
    without = MINE.replace("acme = 0.25", "")
    offered = json.loads(run(without, result(), receipt(), options=("--json",)).stdout)
    in_file = json.loads(run(MINE, result(), receipt(), options=("--json",)).stdout)

    prices = [
        each["licence_per_km2"]
        for said in (offered, in_file)
        for each in said["models"]
        if each["signed"]
    ]
    assert prices == ["0.4", "0.25"]


def test_an_unsigned_result_is_refused(run: Callable[..., Result]) -> None:
    """A signature of nobody's; the control is every test above."""
    forged = encode(b"{}", b"0" * 70, KEYID)
    done = run(MINE, forged)

    assert isinstance(done.exception, VerificationError)
    assert done.stdout == ""


def test_an_altered_result_is_refused_and_named(run: Callable[..., Result]) -> None:
    """One byte of it."""
    altered = bytearray(result())
    altered[len(altered) // 2] ^= 1
    done = run(MINE, result(), bytes(altered))

    assert isinstance(done.exception, VerificationError)
    assert "1.sigstore.json" in str(done.exception)


OTHER = {"dataset": golden()["predicate"]["dataset"]}
OTHER["dataset"] |= {
    "version": 9,
    "holdout_commitment": {"name": "commitment.json", "digest": {"sha256": "e" * 64}},
}


@pytest.mark.parametrize(
    ("text", "bundles", "said"),
    [
        (MINE, (), "There is no model to choose"),
        (MINE, (result(name="result-timeout.json"),), "There is no model to choose"),
        (MINE, (result(), result()), "named twice"),
        (MINE, (result(), result("zenith", "f" * 16, **OTHER)), "different holdouts"),
        (MINE, (result("zenith"),), "no licence price of zenith"),
        (MINE, (result("zenith"), receipt("zenith", price=None)), "no licence price of zenith"),
        (MINE, (result("zenith"), receipt("zenith", currency="CHF")), "in CHF"),
        (
            MINE.replace("cost_per_misclassified_km2", "cost_per_unit_error").replace(
                "accuracy", "mae"
            ),
            (result(),),
            "measured otherwise",
        ),
        (
            MINE + '[[hypothetical]]\nname = "acme"\naccuracy = 1\nlicence_per_km2 = 0\n',
            (result(),),
            "must not be taken for a signed result",
        ),
    ],
)
def test_what_cannot_stand_in_one_table_is_refused(
    run: Callable[..., Result], text: str, bundles: tuple[bytes, ...], said: str
) -> None:
    """Each with what to do."""
    done = run(text, *bundles)

    assert isinstance(done.exception, OwnerError)
    assert said in str(done.exception)


# The board


HOLDOUT = Holdout(5000, ("maize", "pea"), ("pea",), None)


def figures(accuracy: int) -> Figures:
    """Those of a phase with this accuracy, in tenths of a per cent."""
    return derive(Published(accuracy, (accuracy // 10, 50), 500), Grid(), HOLDOUT)


def row(position: int, vendor: str, accuracy: int, **changes: Any) -> Row:  # noqa: ANN401
    """A result of a board."""
    values: dict[str, Any] = {
        "position": position,
        "received": position - 1,
        "vendor": vendor,
        "run": f"{position:016x}",
        "digest": "a" * 64,
        "released": "2026-03-02T00:00:00Z",
        "phase_statuses": ("OK", "OK"),
        "baseline": figures(accuracy - 50),
        "tuned": figures(accuracy),
        "gain": None,
        "petaflops": 1.0,
        "offer": ("EUR", "0.10"),
        "adapted": None,
    }
    return Row(**(values | changes))


def board(*rows: Row) -> Board:
    """The board of these results."""
    placed = ranked(rows, METRICS["accuracy"])
    best = [each for each in placed if each.rank is not None]
    others = [each for each in placed if each.vendor not in {every.vendor for every in best}]
    return Board(
        checkpoint=Snapshot("log.example/farm", 9, b"", b""),
        dataset_version=1,
        task="classification",
        classes=HOLDOUT.classes,
        rare=HOLDOUT.rare,
        holdout_tiles=5000,
        class_sizes=None,
        metric="accuracy",
        window=("2026-03-01", "2026-03-31"),
        published="",
        vendor=None,
        majority=None,
        rows=(*best, *others),
        all=placed,
        aborted=(),
        open=(),
    )


def test_a_board_brings_the_best_of_each_vendor_with_its_offer(tmp_path: Path) -> None:
    """Withdrawn and failed results are no candidates, and the latter are named."""
    path = tmp_path / "assumptions.toml"
    path.write_text(MINE)
    made = board(
        row(4, "acme", 900),
        row(6, "acme", 950),
        row(8, "zenith", 932),
        row(10, "norsat", 990, withdrawn="a label was wrong"),
        row(12, "loam", 900, tuned=None, baseline=None, phase_statuses=("TIMEOUT", None)),
    )

    decision = decision_of(assumed := load_assumptions(path), from_board(made, assumed, None))

    lines = by_name(decision)
    assert set(lines) == {"acme", "zenith", INTERNAL}
    assert lines["acme"].candidate.figure == Fraction("0.95")
    assert lines["acme"].candidate.price == Fraction("0.25")  # the file's, before the offer
    assert lines["zenith"].candidate.price == Fraction("0.1")
    assert lines["zenith"].candidate.ends == (Fraction("0.9247"), Fraction("0.9387"))
    assert {name for name, _ in decision.left_out} == {"norsat", "loam"}


def test_the_workspaces_own_log_and_its_published_copy_say_the_same(
    tmp_path: Path, class_folders: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From submission to decision, by the real log: 7 of 8 tiles right, at 0.25 EUR a km2."""
    farm = open_farm(tmp_path, class_folders({"barley": 10, "corn": 6}))
    farm.finish(farm.submit("acme"), right=5)
    farm.finish(farm.submit("acme"), right=7)
    after = dt.datetime.now(dt.UTC) + dt.timedelta(days=32)
    monkeypatch.setattr(journal, "_now", lambda: after)
    publish_window(farm.workspace, farm.signers)
    path = tmp_path / "assumptions.toml"
    path.write_text(MINE.replace("acme = 0.25", ""))

    public = farm.workspace.public
    said = [
        json.loads(CliRunner().invoke(decide_command, [str(path), "--json", *options]).stdout)
        for options in (
            ("--board", "--workspace", str(farm.workspace.root)),
            ("--log", str(public / "log"), "--trust", str(public / "trust.toml")),
        )
    ]

    assert said[0] == said[1]
    acme = next(each for each in said[0]["models"] if each["signed"])
    assert (acme["figure"], acme["licence_per_km2"], acme["phase"]) == ("0.875", "0.25", "baseline")


# The assumptions


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("accuracy = 0.85", "accuracy = 84.5", "less than or equal to 1"),
        ("accuracy = 0.85", 'accuracy = "0.85"', "without quotes"),
        ("accuracy = 0.85", "accuracy = nan", "finite number"),
        ("accuracy = 0.85", "accuracy = true", "without quotes"),
        ("accuracy = 0.85", "mae = 0.85", "every model has `accuracy`"),
        ("area_km2 = 1000", "area_km2 = 0", "greater than 0"),
        ("area_km2 = 1000", "area_km2 = 1e999999999", "less than or equal"),
        ("area_km2 = 1000", "area_km2 = 1e-99999", "decimal"),
        ("area_km2 = 1000", "area = 1000", "Extra inputs"),
        ("cost_per_misclassified_km2 = 20.5", "", "give one of"),
        ('currency = "EUR"', 'currency = "euro"', "currency"),
        ("version = 1", "version = 2", "version"),
        ("acme = 0.25", "acme = -1", "licence.acme"),
        ("acme = 0.25", '"../acme" = 1', "licence"),
        ("[internal]", "[internal", "TOML"),
    ],
)
def test_wrong_assumptions_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    """Every problem with its place; the control: as it was, the file is read."""
    path = tmp_path / "assumptions.toml"
    path.write_text(MINE)
    assert load_assumptions(path).unit_cost == Fraction("20.5")
    path.write_text(MINE.replace(old, new))

    with pytest.raises(OwnerError) as error:
        load_assumptions(path)

    assert said in str(error.value)


def test_an_interval_that_its_figure_is_outside_of_is_refused(tmp_path: Path) -> None:
    """So the whisker of a plot crosses the end of its bar."""
    path = tmp_path / "assumptions.toml"
    path.write_text(EXAMPLE.replace("accuracy = 0.908", "accuracy = 0.95"))

    with pytest.raises(OwnerError, match="in between"):
        load_assumptions(path)


# What is shown


def test_the_example_is_what_the_command_prints_and_reads(run: Callable[..., Result]) -> None:
    """Its own output is a file that works."""
    printed = CliRunner().invoke(decide_command, ["--example"])

    assert printed.stdout == EXAMPLE
    assert run(printed.stdout).exit_code == 0


@pytest.mark.parametrize("columns", [80, 120])
def test_no_row_is_wider_than_the_terminal(
    run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Numbers are whole, and names fold."""
    monkeypatch.setenv("COLUMNS", str(columns))
    text = run(EXAMPLE).stdout
    tables = text.partition("The cheapest")[0]

    assert max(len(line.rstrip()) for line in tables.splitlines()) <= columns
    for number in ("1,815,000", "4,465,000", "232,500", "1.9867", "0.334"):
        assert number in text


def test_what_nobody_signed_is_called_so_everywhere(
    run: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In both tables, in the sentences, in the document, and on the page; a signed one is not."""
    monkeypatch.setenv("COLUMNS", "120")
    html = tmp_path / "decision.html"
    mixed = MINE + '[[hypothetical]]\nname = "what-if"\naccuracy = 0.99\nlicence_per_km2 = 0\n'
    done = run(mixed, result())
    run(mixed, result(), options=("--html", str(html)))
    page = html.read_text()

    # What-if and internal model, in the two tables and in the sentences.
    assert done.stdout.count("not signed") >= 6
    assert "what-if (not signed): " in done.stdout
    assert "acme (not signed)" not in page + done.stdout
    for found in re.finditer(r"<tr>\s*<th[^>]*>(what-if|internal model|acme) (.*?)</th>", page):
        assert ("not signed" in found[2]) == (found[1] != "acme")
    assert len(re.findall(r"<th[^>]*>what-if ", page)) >= 3


def test_the_page_fetches_nothing_and_escapes_names(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    """One file, with two plots."""
    html = tmp_path / "decision.html"

    assert run(EXAMPLE, options=("--html", str(html))).stdout == ""

    page = html.read_text()
    assert page.count("<svg") == 4  # two, each for wide and for narrow windows
    assert not re.search(r"""(?:src|href)=["'](?!#|data:)""", page)
    assert "1,815,000" in page
    assert html.stat().st_mode & 0o777 == 0o644


def test_small_sums_have_cents(decided: Callable[..., Decision], capsys: Any) -> None:  # noqa: ANN401
    """Where a total is below 100,000."""
    hypothetical = '[[hypothetical]]\nname = "a"\naccuracy = 1\nlicence_per_km2 = 0.1234\n'
    print_decision(decided(MINE + hypothetical))

    assert "123.40" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--example prints one"),
        (["{file}", "{file}", "--board"], "name none"),
        (["{file}", "--log", "."], "Whom do you trust?"),
        (["{file}", "--board", "--key", "{file}"], "A --key alone"),
    ],
)
def test_contradicting_options_are_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    """Before anything is read."""
    path = tmp_path / "assumptions.toml"
    path.write_text(MINE)
    done = CliRunner().invoke(decide_command, [each.format(file=path) for each in arguments])

    assert done.exit_code == 2
    assert said in done.stderr
