"""EVA403 on: how the verbs ended in the rehearsal, and what they left in /output/predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.lint.making import asks, block, rules_of
from evaluator.lint.rule import Hit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluator.lint.facts import Facts, StepFacts

_MISUSE = {2, 64, 126, 127}  # of argparse and shells: usage, EX_USAGE, not executable, not found
_NO_VERB = (
    *("invalid choice: '{verb}'", "unrecognized arguments: {verb}", "No such command '{verb}'"),
    *("unknown command: {verb}", 'unknown command "{verb}"', "Unknown command: {verb}"),
    *("can't open file '/{verb}'", "/{verb}': [Errno 2] No such file or directory"),
)
_PRINTED = 2**20  # bytes of a log that somebody may still read
_WRITING = block(
    "python",
    'with open("/output/predictions", "wb") as file:',
    "    file.write(bytes(classes))  # of a regression: values.astype('<f4').tobytes()",
)


def _knows_no(verb: str, facts: Facts) -> Iterator[Hit]:
    for step in facts.ran(verb):
        said = any(words.format(verb=verb) in step.log for words in _NO_VERB)
        if step.status == "NONZERO_EXIT" and (said or step.exit_code in _MISUSE):
            yield Hit(f"`{verb}` ended with exit status {step.exit_code}", f"log/{verb}")


@asks(
    403,
    "no-predict-verb",
    "error",
    needs=("predict",),
    title="The program knows the verb predict",
    why="The verb is the only argument: `docker run IMAGE predict`. A program that takes it for an "
    "unknown option or a file name ends before it starts.",
    fix="Read the verb from the arguments."
    + block(
        "python",
        'if sys.argv[1:] == ["predict"]:',
        "    predict()",
        "else:",
        '    sys.exit("this image only predicts")',
    ),
)
def _no_predict_verb(facts: Facts) -> Iterator[Hit]:
    return _knows_no("predict", facts)


@asks(
    404,
    "no-train-verb",
    "note",
    needs=("train",),
    title="The program knows the verb train",
    why="Without it the baseline stands and the fine-tuned phase is NONZERO_EXIT. An image that "
    "trains nothing is welcome: ask for the baseline alone, so that nothing is charged for it.",
    fix="Train, or do not ask for it." + block("sh", "evaluator run IMAGE --phase baseline"),
)
def _no_train_verb(facts: Facts) -> Iterator[Hit]:
    return _knows_no("train", facts)


def _ended(facts: Facts, status: str, words: str, verbs: tuple[str, ...]) -> Iterator[Hit]:
    for step in facts.steps:
        if step.status == status and step.verb in verbs:
            yield Hit(words.format(step=step), f"log/{step.verb}")


_BOTH = ("predict", "train")


@asks(
    405,
    "predict-fails",
    "error",
    applies="both",
    needs=("predict",),
    title="predict ends with exit status 0",
    why="Any other one is NONZERO_EXIT, and an official run tells no more than that.",
    fix="Read the log above; findings EVA430 and on name the usual reasons. An exit status above "
    "128 is a signal: 137 is SIGKILL, 139 a crash." + block("sh", "evaluator rule EVA430"),
)
def _predict_fails(facts: Facts) -> Iterator[Hit]:
    words = "{step.phase}: exit status {step.exit_code} after {step.seconds:.1f} s"
    return _ended(facts, "NONZERO_EXIT", words, ("predict",))


@asks(
    406,
    "train-fails",
    "warning",
    applies="both",
    needs=("train",),
    title="train ends with exit status 0",
    why="Any other one leaves the fine-tuned phase NONZERO_EXIT, and what was computed is charged. "
    "The baseline is not touched by it.",
    fix="Read the log above, or ask for the baseline alone."
    + block("sh", "evaluator run IMAGE --phase baseline"),
)
def _train_fails(facts: Facts) -> Iterator[Hit]:
    words = "exit status {step.exit_code} after {step.seconds:.1f} s"
    return _ended(facts, "NONZERO_EXIT", words, ("train",))


@asks(
    407,
    "timed-out",
    "error",
    applies="both",
    title="Each container ends before its deadline",
    why="At the deadline it is killed: TIMEOUT. What it had written by then counts for nothing.",
    fix="Predict in batches, on every CPU that is given."
    + block("python", 'torch.set_num_threads(int(os.environ["EVALUATOR_THREADS"]))'),
)
def _timed_out(facts: Facts) -> Iterator[Hit]:
    return _ended(facts, "TIMEOUT", "{step.verb} was stopped after {step.seconds:.0f} s", _BOTH)


@asks(
    408,
    "out-of-memory",
    "error",
    applies="both",
    title="Each container stays within its memory",
    why="`/tmp`, `/dev/shm` and `/opt/ml/model` are memory too, and there is no swap: beyond the "
    "limit the kernel kills the program.",
    fix="Map the tiles, and predict a batch at a time."
    + block(
        "python",
        'tiles = numpy.load("/input/tiles.npy", mmap_mode="r")',
        "for start in range(0, len(tiles), 64):",
        "    batch = tiles[start : start + 64]",
    ),
)
def _out_of_memory(facts: Facts) -> Iterator[Hit]:
    words = "{step.verb} had {step.peak_memory:,} bytes when it was killed"
    return _ended(facts, "OUT_OF_MEMORY", words, _BOTH)


@asks(
    409,
    "does-not-start",
    "error",
    applies="both",
    title="The entry point can be started",
    why="The engine could not execute it: a script whose interpreter is not in the image, a "
    "program of another processor, a line end of Windows after `#!/bin/sh`.",
    fix="Start it yourself as the sandbox does."
    + block("sh", "docker run --rm --user 12345:12345 --read-only --network none IMAGE predict"),
)
def _does_not_start(facts: Facts) -> Iterator[Hit]:
    return _ended(facts, "START_FAILED", "{step.verb} was not started", _BOTH)


@asks(
    410,
    "budget-spent",
    "error",
    applies="both",
    title="Each phase fits into the compute budget",
    why="At its end the container is stopped: BUDGET_SPENT. The phase is charged and has no score.",
    fix="Use a smaller model, fewer epochs or test-time augmentations."
    + block("sh", "evaluator validate IMAGE --challenge challenge.json"),
)
def _budget_spent(facts: Facts) -> Iterator[Hit]:
    return _ended(facts, "BUDGET_SPENT", "{step.verb} was stopped by its budget", _BOTH)


def _left(facts: Facts, output: str, words: str) -> Iterator[Hit]:
    for step in facts.ran("predict"):
        if step.status == "OK" and step.output == output:
            yield Hit(f"{step.phase}: {words} for {step.tiles} tiles", "output")


@asks(
    411,
    "output-missing",
    "error",
    applies="both",
    needs=("predict",),
    title="predict writes into /output/predictions",
    why="The file is there and empty. It cannot be replaced or renamed: a library that writes a "
    "temporary file and moves it leaves nothing.",
    fix="Open it and write." + _WRITING,
)
def _output_missing(facts: Facts) -> Iterator[Hit]:
    return _left(facts, "missing", "nothing was written")


@asks(
    412,
    "output-short",
    "error",
    applies="both",
    needs=("predict",),
    title="There is a prediction for every tile",
    why="Byte i is tile i's class (four bytes of a regression). A short file is OUTPUT_INVALID: a "
    "last batch that was dropped, or one call of write that took less than it was given.",
    fix="Keep the last batch (`drop_last=False`), and write through a buffered file." + _WRITING,
)
def _output_short(facts: Facts) -> Iterator[Hit]:
    return _left(facts, "short", "too few bytes were written")


@asks(
    413,
    "output-long",
    "error",
    applies="both",
    needs=("predict",),
    title="There is nothing but a prediction for every tile",
    why="A header, a newline, text, or integers of more than one byte make the file too long: "
    "OUTPUT_INVALID. `numpy.save` writes a header, and argmax gives 64-bit integers.",
    fix="Write bare bytes."
    + block("python", 'classes.astype("uint8").tofile("/output/predictions")'),
)
def _output_long(facts: Facts) -> Iterator[Hit]:
    return _left(facts, "long", "too many bytes were written")


@asks(
    414,
    "output-out-of-range",
    "error",
    applies="both",
    needs=("predict",),
    title="Every prediction is a class, or a finite number",
    why="A byte that is no index into `classes`, a NaN or an infinity makes the whole output "
    "OUTPUT_INVALID. Classes count from 0, and text digits are 48 to 57.",
    fix="Look at the smallest and the largest."
    + block(
        "python",
        'assert classes.min() >= 0 and classes.max() < len(manifest["classes"])',
        "assert numpy.isfinite(values).all()  # of a regression",
    ),
)
def _output_out_of_range(facts: Facts) -> Iterator[Hit]:
    return _left(facts, "out of range", "something that is no class or finite number was written")


@asks(
    415,
    "prints-very-much",
    "note",
    title="The program prints little",
    why="Nothing it prints goes anywhere in an official run, but formatting and writing it takes "
    "time that is charged.",
    fix="Print no progress bars, and nothing for a single tile."
    + block("python", "for batch in tqdm(batches, disable=not sys.stderr.isatty()):"),
)
def _prints_very_much(facts: Facts) -> Iterator[Hit]:
    for step in facts.steps:
        if step.cut or len(step.log) > _PRINTED:
            yield Hit(f"{step.verb} printed {_size(step)}", f"log/{step.verb}")


def _size(step: StepFacts) -> str:
    return f"{'more than ' if step.cut else ''}{len(step.log):,} characters"


RULES = rules_of(globals())
