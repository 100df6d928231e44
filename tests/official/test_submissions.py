"""Submissions through `evaluator run`, with real containers: good, bad and hostile."""

from __future__ import annotations

import hashlib
import json
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from evaluator.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from docker import APIClient

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("runner_image")]

RUNTIMES = ["runc", pytest.param("runsc", marks=pytest.mark.gvisor)]
N = 30


@pytest.fixture
def run(
    workspace: Path, command: Callable[..., Any], traces: Callable[[], list[str]]
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Run a submission; the signed result verifies and nothing else is left."""

    def run(submission: object) -> tuple[int, dict[str, Any]]:
        ended = command("run", submission, "--vendor", "acme", "--json", "--workspace", workspace)
        assert "Traceback" not in ended.stderr
        assert ended.code in {0, 1}, ended.stderr
        document = ended.document()
        signed = (workspace / "results" / "acme").glob("*")
        public = (workspace / "keys" / "signing.pub").read_bytes()
        for path in signed:
            verified = verify(path.read_bytes(), public)
            assert verified.result.predicate.run == document["run"]
        assert traces() == []
        return ended.code, document

    return run


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_model_and_a_container_score_alike_under_both_runtimes(
    run: Callable[..., tuple[int, dict[str, Any]]],
    set_limit: Callable[..., None],
    save_model: Callable[..., Path],
    runtime: str,
) -> None:
    """The brightness model is right on all 30 tiles, wherever it runs."""
    set_limit(runtime=runtime)
    code, document = run(save_model())
    private = json.loads(open(document["private"]).read())  # noqa: PTH123, SIM115 - a path as text

    assert (code, document["status"]) == (0, "OK")
    assert document["statement"]["predicate"]["phases"]["baseline"]["accuracy"] == 1.0
    assert private["baseline"]["counts"]["correct"] == N


BAD_MODELS = {
    "empty": (b"", "EVA301"),
    "not ONNX": (b"\x7fELF" + bytes(1000), "EVA302"),
    "a text": (b"hello, this is no model\n" * 50, "EVA302"),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_bytes_that_are_no_model_are_refused(
    run: Callable[..., tuple[int, dict[str, Any]]], save_model: Callable[..., Path], name: str
) -> None:
    """With the rule, signed."""
    content, rule = BAD_MODELS[name]
    code, document = run(save_model(content))
    phase = document["statement"]["predicate"]["phases"]["baseline"]

    assert (code, phase) == (1, {"status": "REFUSED", "rules": [rule]})


def test_a_file_over_the_limit_is_refused_by_its_digest(
    run: Callable[..., tuple[int, dict[str, Any]]],
    set_limit: Callable[..., None],
    save_model: Callable[..., Path],
) -> None:
    """Known by its SHA-256 all the same, so that its vendor can tell which file it was."""
    set_limit(submission_bytes=1000)
    content = bytes(5000)
    _, document = run(save_model(content))
    statement = document["statement"]

    assert statement["predicate"]["phases"]["baseline"]["rules"] == ["EVA301"]
    assert statement["subject"][0]["digest"]["sha256"] == hashlib.sha256(content).hexdigest()


def test_a_truncated_model_is_refused(
    run: Callable[..., tuple[int, dict[str, Any]]], save_model: Callable[..., Path]
) -> None:
    """Cut anywhere, it is no model any more."""
    whole = save_model().read_bytes()
    code, document = run(save_model(whole[: len(whole) // 2]))

    assert (code, document["status"]) == (1, "REFUSED")


@pytest.mark.parametrize(
    ("variant", "rule", "words"),
    [
        ({"operator": "NoSuchOperator"}, "EVA304", "operator"),
        ({"shape": ("N", 3, 224, 224)}, "EVA306", "uint8 (N, 3, 224, 224); expected"),
        ({"outputs": 5}, "EVA305", "1 inputs and 5 outputs"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_what_was_found(
    run: Callable[..., tuple[int, dict[str, Any]]],
    save_model: Callable[..., Path],
    variant: dict[str, Any],
    rule: str,
    words: str,
) -> None:
    """Unknown operator, wrong input, five outputs."""
    code, document = run(save_model(**variant))

    assert code == 1
    assert document["statement"]["predicate"]["phases"]["baseline"]["rules"] == [rule]
    assert words in document["message"]


def test_weights_in_a_second_file_are_refused(
    run: Callable[..., tuple[int, dict[str, Any]]], save_model: Callable[..., Path]
) -> None:
    """The export option is named."""
    weights = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="/etc/passwd")
    model = one_node(helper.make_node("Identity", ["tiles"], ["out"]), weights)
    _, document = run(save_model(model))

    assert document["statement"]["predicate"]["phases"]["baseline"]["rules"] == ["EVA303"]
    assert "external_data=False" in document["message"]


def one_node(node: Any, *weights: Any) -> bytes:  # noqa: ANN401 - onnx has no types
    """A model of one node."""
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["N", 16, 16])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 3])],
        list(weights),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


def test_a_tensor_of_2_to_the_40_is_an_ending_like_any_other(
    run: Callable[..., tuple[int, dict[str, Any]]], save_model: Callable[..., Path]
) -> None:
    """Refused or out of memory; the host does not notice."""
    size = numpy_helper.from_array(np.array([2**20, 2**20], np.int64), "size")
    model = one_node(helper.make_node("ConstantOfShape", ["size"], ["out"]), size)
    code, document = run(save_model(model))

    assert code == 1
    assert document["status"] in {"REFUSED", "OUT_OF_MEMORY", "NONZERO_EXIT"}


def test_nan_is_an_invalid_output(
    run: Callable[..., tuple[int, dict[str, Any]]], save_model: Callable[..., Path]
) -> None:
    """Not a number is not a class: no silent index 0."""
    code, document = run(save_model(scale=float("nan")))

    assert (code, document["status"]) == (1, "OUTPUT_INVALID")


GOOD = "head -c 30 /dev/zero > /output/predictions"
BAD_IMAGES = {
    "exits 3": ("exit 3", "NONZERO_EXIT"),
    "exits 3 with predictions": (f"{GOOD}; exit 3", "NONZERO_EXIT"),
    "writes nothing": ("true", "OUTPUT_MISSING"),
    "one too few": ("head -c 29 /dev/zero > /output/predictions", "OUTPUT_INVALID"),
    "one too many": ("head -c 31 /dev/zero > /output/predictions", "OUTPUT_INVALID"),
    "out of range": ("yes | head -c 30 > /output/predictions", "OUTPUT_INVALID"),
    "fills its file": ("cat /dev/zero > /output/predictions", "NONZERO_EXIT"),
    "sleeps for ever": ("sleep 100000", "TIMEOUT"),
    "forks 1,000": (f"for i in $(seq 1000); do sleep 1000 & done; {GOOD}", "NONZERO_EXIT"),
    "allocates": ("exec dd if=/dev/zero of=/dev/null bs=9G count=1", "OUT_OF_MEMORY"),
    "prints 50 MB": (f"head -c 50000000 /dev/zero; {GOOD}", "OK"),
}


@pytest.mark.usefixtures("one_wall")
@pytest.mark.parametrize("name", BAD_IMAGES)
def test_each_way_a_container_ends_is_signed(
    run: Callable[..., tuple[int, dict[str, Any]]],
    set_limit: Callable[..., None],
    make_image: Callable[..., str],
    name: str,
) -> None:
    """One status, no score unless OK, nothing left."""
    script, status = BAD_IMAGES[name]
    set_limit(predict_seconds=4, memory_bytes=400_000_000, processes=128)
    code, document = run(make_image(script))
    phase = document["statement"]["predicate"]["phases"]["baseline"]

    assert phase["status"] == status
    assert code == (0 if status == "OK" else 1)
    assert ("accuracy" in phase) == (status == "OK")


def test_an_image_without_an_entry_point_is_refused(
    run: Callable[..., tuple[int, dict[str, Any]]], make_image: Callable[..., str]
) -> None:
    """With the Dockerfile line that is missing."""
    _, document = run(make_image("true", entrypoint=""))

    assert document["statement"]["predicate"]["phases"]["baseline"]["rules"] == ["EVA103"]
    assert "ENTRYPOINT" in document["message"]


def test_an_entry_point_that_is_not_there_is_the_submissions_fault(
    run: Callable[..., tuple[int, dict[str, Any]]], make_image: Callable[..., str]
) -> None:
    """Refused from its layers: gVisor would leave a process behind for each try."""
    _, document = run(make_image("true", entrypoint='["/nowhere"]'))

    assert document["statement"]["predicate"]["phases"]["baseline"]["rules"] == ["EVA204"]


def test_settings_of_an_image_do_not_reach_the_container(
    run: Callable[..., tuple[int, dict[str, Any]]], make_image: Callable[..., str]
) -> None:
    """VOLUME, USER, EXPOSE and NVIDIA_* are gone: an image that writes to its volume fails."""
    tried = 'touch /vol/x && exit 1; [ -z "$NVIDIA_MOFED" ] || exit 1; ' + GOOD
    image = make_image(tried, "VOLUME /vol", "USER 0", "EXPOSE 80", "ENV NVIDIA_MOFED=enabled")

    assert run(image)[1]["status"] == "OK"


def test_a_variable_for_the_loader_is_refused(
    run: Callable[..., tuple[int, dict[str, Any]]], make_image: Callable[..., str]
) -> None:
    """LD_PRELOAD in an image has run as root in a runtime's hook."""
    _, document = run(make_image(GOOD, "ENV LD_PRELOAD=/x.so"))

    assert document["statement"]["predicate"]["phases"]["baseline"]["rules"] == ["EVA105"]


def saved(engine: APIClient, image: str, file: Path) -> Path:
    """`docker save IMAGE -o FILE`."""
    with file.open("wb") as archive:
        archive.writelines(engine.get_image(image))
    return file


def test_an_archive_runs_and_its_tag_is_never_made(
    run: Callable[..., tuple[int, dict[str, Any]]],
    make_image: Callable[..., str],
    engine: APIClient,
    tmp_path: Path,
) -> None:
    """`docker save` of a tagged image: known by the file's digest, run without the tag."""
    tag = "evaluator-test-tag"
    engine.tag(make_image(GOOD + " # archive"), tag)
    file = saved(engine, tag, tmp_path / "image.tar")
    engine.remove_image(tag)
    code, document = run(file)

    assert tag.encode() in file.read_bytes()
    assert code == 0
    assert document["statement"]["predicate"]["submission"] == {
        "kind": "image",
        "digest_of": "file",
    }
    assert engine.images(tag) == []


def test_a_tar_that_is_no_image_is_refused(
    run: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path
) -> None:
    """A tar of anything else."""
    file = tmp_path / "image.tar"
    with tarfile.open(file, "w") as archive:
        archive.addfile(tarfile.TarInfo("x"))

    assert run(file)[1]["statement"]["predicate"]["phases"]["baseline"]["rules"] == ["EVA101"]


def test_layers_that_are_not_what_their_digests_say_are_refused(
    run: Callable[..., tuple[int, dict[str, Any]]],
    make_image: Callable[..., str],
    engine: APIClient,
    tmp_path: Path,
) -> None:
    """One byte changed: the engine, which knows the digest, would take its own layer unseen."""
    file = saved(engine, make_image(GOOD + " # damaged"), tmp_path / "image.tar")
    content = bytearray(file.read_bytes())
    with tarfile.open(file) as archive:
        layer = max(archive, key=lambda member: member.size)
    content[layer.offset_data + layer.size // 2] ^= 1
    file.write_bytes(content)

    assert run(file)[1]["statement"]["predicate"]["phases"]["baseline"]["rules"] == ["EVA106"]
