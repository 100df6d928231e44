"""Each rule is broken by what it says and not by its neighbour, and none of them can be fooled."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluator.lint import internal_rules
from evaluator.lint.catalogue import NAMES, RULES, find
from evaluator.lint.dockerfile import instructions, line_of
from evaluator.lint.facts import Refusal
from evaluator.lint.judge import judge
from tests.evaluator.lint.rows import LOGS, ROWS
from tests.helpers.linted import container, image_facts, logged, onnx, step

# Ids and names as they were published: a rule is never renamed and an id never used again.
PUBLISHED = {
    "EVA101": "not-an-image-archive",
    "EVA102": "image-too-large",
    "EVA103": "no-entry-point-set",
    "EVA104": "wrong-platform",
    "EVA105": "variable-not-allowed",
    "EVA106": "layer-is-not-its-digest",
    "EVA107": "working-directory-not-plain",
    "EVA108": "too-many-layers-or-large-documents",
    "EVA109": "image-not-readable-within-limits",
    "EVA201": "device-or-fifo",
    "EVA202": "path-outside",
    "EVA203": "mount-point-not-plain",
    "EVA204": "entry-point-missing",
    "EVA205": "too-many-entries",
    "EVA206": "compression-ratio",
    "EVA207": "hard-link-outside",
    "EVA208": "sparse-file",
    "EVA209": "layer-not-a-tar",
    "EVA301": "model-too-large",
    "EVA302": "not-an-onnx-model",
    "EVA303": "external-data",
    "EVA304": "unknown-operator",
    "EVA305": "not-one-input-and-output",
    "EVA306": "input-does-not-fit",
    "EVA307": "output-does-not-fit",
    "EVA308": "metadata-not-usable",
    "EVA309": "model-does-not-run",
    "EVA310": "opset-version",
    "EVA311": "unknown-domain",
    "EVA312": "refused-operator",
    "EVA313": "function-recursion",
    "EVA314": "too-many-nodes",
    "EVA315": "too-many-initializers",
    "EVA316": "dimension-too-large",
    "EVA317": "tensor-larger-than-its-bytes",
    "EVA318": "nested-too-deep",
    "EVA319": "onnxruntime-format",
    "EVA320": "too-many-fields",
    "EVA330": "operator-not-trainable",
    "EVA331": "forward-differs",
    "EVA332": "nothing-to-train",
    "EVA333": "no-scores-to-train",
    "EVA334": "no-linear-head",
    "EVA335": "not-trainable",
    "EVA401": "recipe-not-allowed",
    "EVA402": "beyond-the-compute-budget",
}
PUBLISHED_SINCE = {
    110: "unpinned-base user-ignored larger-than-useful volume-dropped ports-dropped "
    "health-check-dropped command-replaced gpu-variables-dropped proxy-variables-dropped "
    "shell-form-entry-point variable-overridden secret-in-variables secret-in-history "
    "compile-cache-not-writable unpinned-download",
    210: "not-readable-by-others secrets-in-layers repository-in-layers package-caches-in-layers "
    "weights-under-the-model-path telemetry-on-import compiles-at-start "
    "weights-in-a-home-directory root-home-closed driver-library-in-layers gpu-libraries-missing "
    "gpu-libraries-unused deleted-but-carried very-many-files",
    340: "batch-of-one fixed-batch double-precision classes-instead-of-scores "
    "half-precision-scores layout-left-open large-model",
    403: "no-predict-verb no-train-verb predict-fails train-fails timed-out out-of-memory "
    "does-not-start budget-spent output-missing output-short output-long output-out-of-range "
    "prints-very-much",
    420: "predicted-over-deadline predicted-over-budget takes-much-of-the-budget "
    "memory-near-limit slow-to-load gpu-idle one-cpu-of-many",
    430: "needs-the-network writes-outside permission-denied executes-from-tmp file-lock-refused "
    "user-without-a-name shared-memory-too-small scratch-space-full gpu-not-found "
    "cuda-newer-than-driver gpu-memory-spent memory-refused too-many-threads "
    "too-many-open-files library-missing processor-too-old reads-standard-input cache-not-kept "
    "call-not-permitted",
    901: "rule-broke not-rehearsed log-cut waiver-expired waiver-unused",
}
# Which `judge` finds, see test_judge.py.
OF_THE_JUDGE = {"EVA901", "EVA904", "EVA905"}
ADVICE = [rule for rule in RULES.values() if not rule.refuses]
REFUSALS = [rule for rule in RULES.values() if rule.refuses]
LINES = [(rule, line) for rule, (hits, _) in LOGS.items() for line in hits]
NEAR_LINES = [(rule, line) for rule, (_, misses) in LOGS.items() for line in misses]


def broken(facts: object, **said: object) -> set[str]:
    """The ids of the rules that facts break."""
    verdict = judge(facts, (), "image.tar", **said)  # type: ignore[arg-type]
    return {found.rule.id for found in verdict.findings}


def test_ids_and_names_never_change() -> None:
    """Vendors' waivers and owners' results say them."""
    since = {
        f"EVA{first + number}": name
        for first, names in PUBLISHED_SINCE.items()
        for number, name in enumerate(names.split())
    }
    assert {rule.id: rule.name for rule in RULES.values()} == PUBLISHED | since
    assert len(NAMES) == len(RULES) >= 40


def test_what_breaks_nothing_breaks_nothing() -> None:
    """The neighbours of every row are of this image and this file."""
    assert broken(container()) == broken(onnx()) == set()


def test_every_rule_has_a_row() -> None:
    """A rule without one could be wrong unseen."""
    assert {rule.id for rule in ADVICE} == ROWS.keys() | LOGS.keys() | OF_THE_JUDGE


@pytest.mark.parametrize("rule", ROWS)
def test_a_rule_is_broken_by_what_it_says_and_not_by_its_neighbour(rule: str) -> None:
    """One small change apart."""
    breaks, neighbour = ROWS[rule]

    assert rule in broken(breaks)
    assert rule not in broken(neighbour)


@pytest.mark.parametrize(("rule", "line"), LINES)
def test_what_programs_print_is_understood(rule: str, line: str) -> None:
    """In the middle of a log, whatever stands around it."""
    facts = logged(f"loading\n{'x' * 5000}\n{line}\n{'y' * 5000}")
    (found,) = [f for f in judge(facts, (), "i").findings if f.rule.id == rule]

    assert found.hit.where == "log/predict"
    assert found.hit.message.startswith("predict printed: ")


@pytest.mark.parametrize(("rule", "line"), NEAR_LINES)
def test_what_only_sounds_like_it_is_not(rule: str, line: str) -> None:
    """An ordinary log says such things."""
    assert rule not in broken(logged(f"loading\n{line}\ndone"))


@pytest.mark.parametrize("rule", REFUSALS, ids=lambda rule: rule.id)
def test_a_refusal_is_a_finding_in_the_intakes_own_words(rule: object) -> None:
    """And every other rule of the intake counts as not asked, since it ends at the first."""
    known = RULES[rule.id]  # type: ignore[attr-defined]
    refused = (Refusal(known.id, "the words of the intake."),)
    facts = replace(container() if known.applies != "onnx" else onnx(), refusals=refused)
    verdict = judge(facts, (), "image.tar")
    (found,) = [f for f in verdict.findings if f.rule is known]

    assert found.hit.message == "the words of the intake."
    assert verdict.result == "FAILED"
    assert not [rule for rule in verdict.passed if rule.refuses]


def test_every_rule_says_why_and_what_to_copy() -> None:
    """A finding without a fix is half a finding; severities are those of SARIF."""
    for rule in RULES.values():
        assert rule.title, rule.id
        assert not rule.title.endswith("."), rule.id
        assert rule.why.endswith("."), rule.id
        assert rule.fix.count("```") == 2, rule.id
        assert find(rule.name) is find(rule.id.lower()) is rule


def test_a_finding_points_at_the_line_of_the_dockerfile() -> None:
    """The one that counts is the last."""
    text = "FROM a@sha256:0\n# USER root\nUSER root\nRUN a \\\n  && b\n\nUSER app\n"
    facts = replace(image_facts(user="app"), dockerfile=text)
    (found,) = judge(facts, (), "i", "Dockerfile").findings

    assert (found.rule.id, found.hit.line) == ("EVA111", 7)


def test_here_documents_are_no_instructions() -> None:
    """Their lines are files."""
    text = "RUN <<EOF\nUSER x\nEOF\nCOPY a b\n"

    assert [each.word for each in instructions(text)] == ["RUN", "COPY"]
    assert line_of(text, "USER") is None


HOSTILE = st.text(st.characters(), max_size=300) | st.sampled_from(
    [
        *(line for _, line in LINES),
        *("FROM", "FROM \\", "ADD <<EOF https://", "\x1b[2J::error::", "{verb}", "%s", "\ud800"),
    ]
)


@given(log=HOSTILE, name=HOSTILE, value=HOSTILE, dockerfile=HOSTILE, exit_code=st.integers())
@settings(max_examples=200, deadline=None)
def test_nothing_a_submission_says_makes_a_rule_break(
    log: str, name: str, value: str, dockerfile: str, exit_code: int
) -> None:
    """Arbitrary text wherever a vendor's text may stand."""
    ended = step(log=log, status="NONZERO_EXIT", exit_code=exit_code)
    facts = image_facts(
        variables=((name, value),),
        history=(value, log),
        user=name,
        volumes=(name,),
        ports=(value,),
        labels=((name, value),),
        command=(value,),
        entrypoint=(name, value, log),
    )
    verdict = judge(replace(facts, steps=(ended,), dockerfile=dockerfile), (), "image.tar")

    assert internal_rules.RULE_BROKE not in {found.rule for found in verdict.findings}


@pytest.mark.parametrize(
    "piece",
    [
        *("a", "\n", "Errno 1]\n", "fcntl.floc", "getaddrinfo ", "/tmp/", ": Permission denie"),
        *("version `GLIBC", "flock", "/dev/shm", "[Errno 1] Operation not permitte\n"),
    ],
)
def test_a_log_of_megabytes_is_judged_in_a_second(piece: str) -> None:
    """However often it says the beginning of a reason."""
    facts = logged((piece * (2**22 // len(piece)))[: 2**22])
    started = time.process_time()
    judge(facts, (), "image.tar")

    assert time.process_time() - started < 3  # 0.2 s here, on a busy host too
