"""`evaluator data` and `evaluator images`: what a run needs before there can be one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evaluator.cli.options import (
    holdout_option,
    json_option,
    print_json,
    say,
    skip_bad_option,
    workspace_option,
)
from evaluator.workspace import Workspace

if TYPE_CHECKING:
    from evaluator.dataset.importing import ImportRules


@click.group()
def data() -> None:
    """Import tiles, split them, and look at their aggregates."""


@data.command("import")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@holdout_option
@click.option("--grayscale", is_flag=True, help="Turn RGB tiles into one band.")
@skip_bad_option
@click.option("--add", is_flag=True, help="Add a season to the tiles that are there.")
@workspace_option
def import_command(  # noqa: PLR0913 - one per option of the command
    source: Path,
    workspace: Path,
    holdout: float,
    *,
    grayscale: bool,
    skip_bad: bool,
    add: bool,
) -> None:
    """Import SOURCE as a new sealed version: pixels and labels, and nothing else.

    SOURCE is a folder or tar of class folders, a folder with tiles.npy and labels.npy, or a
    folder with labels.csv (file, label and optionally group, field or scene). For a regression the
    numbers are labels.csv's column target, or targets.npy beside labels.npy.
    """
    from evaluator.dataset.importing import import_tiles
    from evaluator.progress import progress_bar
    from evaluator.tables import print_import

    rules = _import_rules(Workspace(workspace))
    with progress_bar() as progress:
        report = import_tiles(
            Workspace(workspace).data,
            source,
            rules,
            holdout=holdout,
            grayscale=grayscale,
            skip_bad=skip_bad,
            add=add,
            progress=progress,
        )
    print_import(report)


@data.command("split")
@holdout_option
@skip_bad_option
@workspace_option
def split_command(workspace: Path, holdout: float, *, skip_bad: bool) -> None:
    """Make a new sealed version of the same tiles with another holdout."""
    from evaluator.dataset.importing import split_again
    from evaluator.progress import progress_bar
    from evaluator.tables import print_import

    rules = _import_rules(Workspace(workspace))
    with progress_bar() as progress:
        report = split_again(
            Workspace(workspace).data, rules, holdout=holdout, skip_bad=skip_bad, progress=progress
        )
    print_import(report)


@data.command("show")
@json_option
@workspace_option
def show_command(workspace: Path, *, as_json: bool) -> None:
    """Print counts, shares and band statistics: aggregates only."""
    from evaluator.dataset.sealed import describe, open_dataset
    from evaluator.tables import dataset_document, print_dataset

    description = describe(open_dataset(Workspace(workspace).data))
    if as_json:
        print_json(dataset_document(description))
    else:
        print_dataset(description)


@data.command("eda")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the page with plots to this file instead.",
)
@json_option
@workspace_option
def eda_command(workspace: Path, html: Path | None, *, as_json: bool) -> None:
    """Print what may be published of the data: class sizes, bands, spectra.

    From sealed aggregates alone, and nothing of a class with fewer tiles than
    publish.suppress_below. Where results do not say class sizes (publish.class_sizes), shares are
    rounded.
    """
    from evaluator.dataset.sealed import open_dataset
    from evaluator.eda import eda_of
    from evaluator.eda_tables import eda_document, print_eda

    rules = Workspace(workspace).settings().publish
    dataset = open_dataset(Workspace(workspace).data)
    eda = eda_of(dataset, rules.suppress_below, class_sizes=rules.class_sizes)
    if html:
        from evaluator.files import replace
        from evaluator.site.data_page import data_page

        replace(html, data_page(eda).encode(), 0o644)
        say(f"Written: {html}")
    if as_json:
        print_json(eda_document(eda))
    elif not html:
        print_eda(eda)


def _import_rules(workspace: Workspace) -> ImportRules:
    """The part of the settings that an import obeys."""
    from evaluator.dataset.importing import ImportRules
    from evaluator.dataset.targets import TargetRule

    settings = workspace.settings()
    settings.error_grid()  # a range without exact decimals raises, before hours of reading
    rules = settings.dataset
    rare = rules.rare if isinstance(rules.rare, int) else tuple(rules.rare)
    targets = TargetRule(rules.unit, *rules.range) if rules.task == "regression" else None
    return ImportRules(tuple(rules.classes), rare, (rules.tile[0], rules.tile[1]), targets)


@click.group()
def images() -> None:
    """Build and find the images that travel with the product."""


@images.command("build")
@click.option("--gpu", is_flag=True, help="Also the ONNX runner for NVIDIA GPUs (1.4 GB more).")
@click.option("--trainer", is_flag=True, help="Also the ONNX trainer, with PyTorch (250 MB more).")
@click.option(
    "--example",
    "examples",
    multiple=True,
    type=click.Choice(["perl", "torch"]),
    help="Also an example submission (repeatable).",
)
def build_command(examples: tuple[str, ...], *, gpu: bool, trainer: bool) -> None:
    """Build the ONNX runner and the probe unless they are there; print the ids of all.

    With --gpu, the trainer and the torch example for NVIDIA GPUs too, where they are asked for.
    """
    from evaluator.images import (
        EXAMPLES_GPU,
        build_example,
        build_onnx_runner,
        build_onnx_trainer,
        build_probe,
    )
    from evaluator.progress import stages

    built = {}
    with stages() as stage:
        built["onnx-runner"] = build_onnx_runner(stage)
        built["probe"] = build_probe(stage)
        if gpu:
            built["onnx-runner-gpu"] = build_onnx_runner(stage, gpu=True)
        if trainer:
            built["onnx-trainer"] = build_onnx_trainer(stage)
        if trainer and gpu:
            built["onnx-trainer-gpu"] = build_onnx_trainer(stage, gpu=True)
        built |= {f"example-{name}": build_example(name, stage) for name in examples}
        for name in EXAMPLES_GPU.keys() & set(examples) if gpu else ():
            built[f"example-{name}-gpu"] = build_example(name, stage, gpu=True)
    for name, image in built.items():
        click.echo(f"{name} {image}")
