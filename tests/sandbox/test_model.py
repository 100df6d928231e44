"""The model between two containers: what `train` leaves, `predict` reads, and nobody else has."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sandbox
from evaluator.images import build_holder
from sandbox import Mount, Outcome, SandboxError, Spec, Status, Steps
from sandbox.wall import model_volume, run_filter

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker

pytestmark = pytest.mark.docker

SECCOMP = (Path(__file__).parents[2] / "policies" / "seccomp.json").read_text()
RUNTIMES = [
    pytest.param("runc", id="runc"),
    pytest.param("runsc", id="runsc", marks=pytest.mark.gvisor),
]
MiB = 2**20
SIZE = 16 * MiB


@pytest.fixture(scope="session")
def holder() -> str:
    """Our image that keeps a model."""
    return build_holder(lambda _: None)


class Training:
    """The containers of one run that share a model."""

    def __init__(
        self,
        make_image: Callable[..., str],
        make_spec: Callable[..., Spec],
        steps: Steps,
        runtime: str,
    ) -> None:
        self.run = secrets.token_hex(8)
        self._image, self._spec, self._steps, self._runtime = make_image, make_spec, steps, runtime

    def step(self, script: str, model: str, **changes: object) -> Outcome:
        """Run a shell script with the model volume written, read or absent."""
        fields: dict[str, object] = {"output_size": 64, "verb": "predict"}
        if model == "write":
            fields = {"output_size": 0, "verb": "train"}
        image = self._image(script, more=changes.pop("more", None))
        spec = self._spec(image, run=self.run, runtime=self._runtime, **(fields | changes))
        return self._steps.run(_with_model(spec, model))

    def held(self, holder: str) -> Spec:
        """The holder's container."""
        spec = self._spec(holder, run=self.run, runtime=self._runtime, verb="hold", output_size=0)
        return _with_model(spec, "read")

    def ours(self, holder: str, verb: str, model: str, **changes: object) -> Outcome:
        """Have our image pack or unpack the model."""
        fields: dict[str, object] = {"verb": verb, "output_size": 0, "inputs": ()}
        spec = self._spec(holder, run=self.run, runtime=self._runtime, **(fields | changes))
        return self._steps.run(_with_model(spec, model))


def _with_model(spec: Spec, model: str) -> Spec:
    return replace(spec, model=model)  # type: ignore[arg-type]  # one of its three words


@pytest.fixture(params=RUNTIMES)
def training(
    request: pytest.FixtureRequest,
    make_image: Callable[..., str],
    make_spec: Callable[..., Spec],
    scratch: Path,
) -> Training:
    """A run whose containers share a model."""
    return Training(make_image, make_spec, Steps(scratch, SECCOMP), request.param)


@pytest.fixture
def steps(scratch: Path) -> Steps:
    """This host's engine."""
    return Steps(scratch, SECCOMP)


def test_what_train_leaves_predict_reads(
    training: Training, steps: Steps, holder: str, engine: docker.APIClient
) -> None:
    """In a fresh container of the same run; afterwards nothing of it is left."""
    with steps.prepare(training.held(holder), SIZE):
        trained = training.step("printf learnt > /opt/ml/model/weights", "write")
        predicted = training.step("cat /opt/ml/model/weights > /output/predictions", "read")

    assert (trained.status, trained.output) == (Status.OK, b"")
    assert (predicted.status, predicted.output) == (Status.OK, b"learnt")
    assert engine.containers(all=True, filters=run_filter(training.run)) == []
    assert not engine.volumes(filters=run_filter(training.run))["Volumes"]


def test_predict_cannot_write_the_model(training: Training, steps: Steps, holder: str) -> None:
    """Neither new files nor what is there; `train` can, which is the control."""
    with steps.prepare(training.held(holder), SIZE):
        training.step("printf learnt > /opt/ml/model/weights", "write")
        tried = training.step(
            "{ echo x > /opt/ml/model/new; echo x >> /opt/ml/model/weights; "
            "rm /opt/ml/model/weights; } 2>/dev/null; "
            "{ ls /opt/ml/model; cat /opt/ml/model/weights; } > /output/predictions",
            "read",
        )
        written = training.step("echo more >> /opt/ml/model/weights", "write")

    assert tried.output == b"weights\nlearnt"
    assert written.status is Status.OK


def test_a_train_that_writes_without_end_fills_its_volume_alone(
    training: Training, steps: Steps, holder: str
) -> None:
    """The volume is as large as it is, in memory, and the host's disk has nothing to do with it."""
    with steps.prepare(training.held(holder), SIZE):
        outcome = training.step("cat /dev/zero > /opt/ml/model/weights", "write")
        size = training.step("wc -c < /opt/ml/model/weights > /output/predictions", "read")

    assert outcome.status is Status.NONZERO_EXIT
    assert SIZE - MiB <= int(size.output) <= SIZE


def test_train_has_no_output_and_predict_without_training_no_model(
    training: Training, steps: Steps, holder: str
) -> None:
    """What the contract calls absent is absent."""
    with steps.prepare(training.held(holder), SIZE):
        trained = training.step("[ -e /output/predictions ] || exit 7", "write")
        baseline = training.step("ls /opt/ml > /output/predictions 2>/dev/null; true", "")

    assert trained.exit_code == 7
    assert baseline.output == b""


def test_what_an_image_has_at_the_path_is_hidden(
    training: Training, steps: Steps, holder: str
) -> None:
    """The engine copies nothing of it into the volume, and leaves the volume's owner alone."""
    own = {"opt/ml/model/own": b"own"}
    see = "ls /opt/ml/model"
    with steps.prepare(training.held(holder), SIZE):
        trained = training.step(f"{see} > /opt/ml/model/seen || exit 7", "write", more=own)
        seen = training.step("cat /opt/ml/model/seen > /output/predictions", "read", more=own)
        baseline = training.step(f"{see} > /output/predictions", "", more=own)

    assert trained.status is Status.OK
    assert seen.output == b"seen\n"
    assert baseline.output == b"own\n"  # the control: it is there


def test_a_model_is_for_its_run_alone(
    training: Training, steps: Steps, holder: str, engine: docker.APIClient
) -> None:
    """The volume is its uid's, 0700, and goes by the run's name."""
    with steps.prepare(training.held(holder), SIZE):
        volume = engine.inspect_volume(model_volume(training.run))

    assert "mode=0700" in volume["Options"]["o"]
    assert volume["Options"]["type"] == "tmpfs"


def test_a_holder_that_is_killed_is_no_result(
    training: Training, steps: Steps, holder: str, engine: docker.APIClient
) -> None:
    """The model is gone with it; whatever was predicted without it is not believed."""

    def killed() -> None:
        with steps.prepare(training.held(holder), SIZE):
            training.step("printf learnt > /opt/ml/model/weights", "write")
            (container,) = engine.containers(filters=run_filter(training.run, "hold"))
            engine.kill(container)
            training.step("true", "read")

    with pytest.raises(SandboxError, match="the model is lost"):
        killed()

    assert engine.containers(all=True, filters=run_filter(training.run)) == []
    assert not engine.volumes(filters=run_filter(training.run))["Volumes"]


def test_a_kept_model_comes_back_in_another_run(
    training: Training,
    make_image: Callable[..., str],
    make_spec: Callable[..., Spec],
    steps: Steps,
    holder: str,
    scratch: Path,
) -> None:
    """Packed and unpacked by our own image, in the sandbox; here it is bytes.

    With links of both kinds, and what is in a folder that nobody may write into.
    """
    kept = scratch / "model.tar"
    kept.touch(mode=0o600)
    with steps.prepare(training.held(holder), SIZE):
        training.step(
            "mkdir /opt/ml/model/a; printf learnt > /opt/ml/model/a/b; "
            "ln -s a/b /opt/ml/model/link; ln /opt/ml/model/a/b /opt/ml/model/second; "
            "/bin/busybox chmod 555 /opt/ml/model/a",
            "write",
        )
        packed = training.ours(holder, "keep", "read", output_size=1, kept=kept)
    later = Training(make_image, make_spec, steps, training._runtime)  # noqa: SLF001 - the same
    kept.chmod(0o444)
    with steps.prepare(later.held(holder), SIZE):
        unpacked = later.ours(holder, "restore", "write", inputs=(Mount(kept, "/input/archive"),))
        read = later.step(
            "{ cat /opt/ml/model/link /opt/ml/model/second; ls /opt/ml/model; } "
            "> /output/predictions",
            "read",
        )

    assert (packed.status, unpacked.status) == (Status.OK, Status.OK)
    assert packed.output == b""
    assert read.output == b"learntlearnta\nlink\nsecond\n"


def test_a_volume_of_that_name_with_other_options_is_not_used(
    training: Training, steps: Steps, holder: str, engine: docker.APIClient
) -> None:
    """The engine would give it back as it is; it goes with what is left of the run."""
    engine.create_volume(model_volume(training.run), "local", {}, {})
    with (
        pytest.raises(SandboxError, match="differs from what was asked"),
        steps.prepare(training.held(holder), SIZE),
    ):
        pass

    assert not engine.volumes(filters={"name": model_volume(training.run)})["Volumes"]


def test_leftovers_of_a_killed_training_are_swept(
    training: Training, engine: docker.APIClient
) -> None:
    """Those of a run that is alive stay."""
    volume = engine.create_volume(
        model_volume(training.run), labels={"evaluator.run": training.run}
    )
    with sandbox.run_lock(training.run):
        sandbox.remove_leftovers(engine)
        assert engine.inspect_volume(volume["Name"])
    sandbox.remove_leftovers(engine)

    assert not engine.volumes(filters=run_filter(training.run))["Volumes"]


def test_a_volume_that_is_gone_is_not_made_anew(
    training: Training, engine: docker.APIClient
) -> None:
    """The engine makes one on the disk, of any size; no program is started on it, and it goes."""
    with pytest.raises(SandboxError, match="removed from outside"):
        training.step("printf x > /opt/ml/model/weights", "write")
    left = engine.volumes(filters={"name": model_volume(training.run)})["Volumes"]
    sandbox.remove_leftovers(engine)

    assert left, "the control: the engine has made one"
    assert not engine.volumes(filters={"name": model_volume(training.run)})["Volumes"]
