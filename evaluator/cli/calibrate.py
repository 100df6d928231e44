"""`evaluator calibrate`: what a petaflop is on this host."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from evaluator.cli.options import json_option, print_json, workspace_option
from evaluator.workspace import Workspace

if TYPE_CHECKING:
    from pathlib import Path


@click.command("calibrate")
@click.option(
    "--again", is_flag=True, help="Measure also where it was done; do so on an idle host."
)
@json_option
@workspace_option
def calibrate_command(workspace: Path, *, again: bool, as_json: bool) -> None:
    """Measure what one CPU of this host can do, and show how long a petaflop takes.

    It is done once, by this command or the first run. A new figure counts for later runs only.
    """
    from rich.console import Console
    from rich.table import Table

    from evaluator.calibration import PETA, load_or_measure
    from evaluator.progress import stages
    from evaluator.workspace import gpus_of

    owned = Workspace(workspace)
    resources = owned.settings().resources
    gpus = gpus_of(resources)
    with stages() as say:
        peaks = load_or_measure(owned.calibration, gpus, resources.gpu_peak_flops, say, again=again)
    rows = [("cpu", peaks.cpu_model, peaks.cpu, resources.cpus)]
    if gpus:
        rows.append(("gpu", peaks.gpu_model, peaks.gpu, float(len(gpus))))
    if as_json:
        devices = [
            {
                "device": device,
                "model": model,
                "peak_flops": peak,
                "count": count,
                "seconds_per_petaflop": PETA / (peak * count),
            }
            for device, model, peak, count in rows
        ]
        print_json({"devices": devices})
        return
    table = Table(title="what a run gets, and how long one petaflop (1 PF) takes it when busy")
    for name in ("device", "model", "peak of one", "in a run", "1 PF in"):
        table.add_column(name, justify="left" if name in {"device", "model"} else "right")
    for device, model, peak, count in rows:
        took = f"{PETA / (peak * count):,.4g} s"
        table.add_row(device, model, f"{peak / 1e12:,.4g} TFLOPS", f"{count:g}", took)
    Console(highlight=False, markup=False, soft_wrap=True).print(table)
