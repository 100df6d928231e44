"""`evaluator doctor`: what this host is, and what its wall stops."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evaluator.cli.options import json_option, print_json, say, workspace_option
from evaluator.workspace import CONFIG, Workspace, shipped

if TYPE_CHECKING:
    from evaluator.doctor.examine import Subject

NOT_SEALED = 3


@click.command("doctor")
@click.option("--full", is_flag=True, help="Try every technique, and the positive controls.")
@click.option(
    "--runtime",
    type=click.Choice(["runc", "runsc"]),
    help="Another runtime than the policy's.",
)
@json_option
@workspace_option
@click.pass_context
def doctor_command(
    context: click.Context, *, full: bool, runtime: str | None, workspace: Path, as_json: bool
) -> None:
    """Say whether this host is SEALED: its settings first, then its wall, by trying it.

    With a workspace its own policies count, and a SEALED verdict is remembered for its runs;
    without one, those that travel with this program.
    """
    import sandbox
    from evaluator.doctor.examine import examine
    from evaluator.doctor.gate import remember
    from evaluator.doctor.printing import doctor_document, print_examination
    from evaluator.progress import stages

    owned = Workspace(workspace) if (workspace / CONFIG).is_file() else None
    with tempfile.TemporaryDirectory(prefix="evaluator-doctor-") as temporary:
        subject = _subject(owned, Path(temporary))
        if runtime:
            subject = replace(subject, policy=replace(subject.policy, runtime=runtime))
        sandbox.connect()
        waiting = "Another run has this host; waiting for its end ..."
        with stages() as stage, sandbox.host_lock(lambda: say(waiting)):
            sandbox.remove_leftovers(sandbox.connect())
            sandbox.remove_images()
            examination = examine(subject, full=full, say=stage)
    if owned and not runtime:
        remember(examination, owned.wall)
    if as_json:
        print_json(doctor_document(examination))
    else:
        print_examination(examination)
    context.exit(0 if examination.verdict == "SEALED" else NOT_SEALED)


def _subject(workspace: Workspace | None, temporary: Path) -> Subject:
    """A workspace's policy and resources, or the shipped policy and what `init` would write."""
    import sandbox
    from evaluator.admission_policy import load_admission_policy
    from evaluator.doctor.examine import Subject, default_resources
    from evaluator.workspace import gpus_of

    if workspace is None:
        policy = sandbox.load_policy(shipped("policies") / "sandbox.toml")
        cpus, memory = default_resources()
        rules = load_admission_policy(shipped("policies") / "admission.toml")
        return Subject(policy, rules, cpus, memory, (), temporary)
    resources = workspace.settings().resources
    policy = sandbox.load_policy(workspace.sandbox_policy)
    workspace.scratch.mkdir(mode=0o700, exist_ok=True)
    rules = load_admission_policy(workspace.admission_policy)
    gpus = gpus_of(resources)
    return Subject(policy, rules, resources.cpus, resources.memory_bytes, gpus, workspace.scratch)
