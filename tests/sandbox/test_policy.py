"""sandbox.toml is read strictly, and can only narrow."""

from pathlib import Path

import pytest

from sandbox import PolicyError, load_policy

PATH = Path(__file__).parents[2] / "policies" / "sandbox.toml"
SHIPPED, SHIPPED_POLICY = PATH.read_text(), load_policy(PATH)


def test_the_shipped_policy_loads() -> None:
    """The control of every refusal below."""
    policy = load_policy(PATH)

    assert policy.runtime == "runc"
    assert policy.limits("predict", 2.0, 2**33).seconds == policy.predict_seconds


@pytest.mark.parametrize(
    ("verb", "key"),
    [
        ("check", "check_seconds"),
        ("predict", "predict_seconds"),
        ("train", "train_seconds"),
    ],
)
def test_each_verb_of_a_submission_has_its_own_deadline(verb: str, key: str) -> None:
    """As the policy says it."""
    assert SHIPPED_POLICY.limits(verb, 2.0, 2**33).seconds == getattr(SHIPPED_POLICY, key)


def test_the_model_is_held_until_all_that_needs_it_is_done() -> None:
    """Longer than training, prediction, packing and unpacking may take together."""
    seconds = {
        verb: SHIPPED_POLICY.limits(verb, 2.0, 2**33).seconds
        for verb in ("hold", "train", "predict", "keep", "restore")
    }

    assert seconds.pop("hold") >= sum(seconds.values())


@pytest.mark.parametrize(
    ("verb", "model", "largest"),
    [
        ("check", False, 2**29),
        ("predict", False, 2**29),
        ("hold", False, 2**29),
        ("train", True, 2**30),
        ("restore", True, 2**30),
        ("keep", False, 2**30 + 2**26),  # on the disk: the model, headers and padding
    ],
)
def test_a_large_file_may_be_written_where_a_model_is(
    verb: str, largest: int, *, model: bool
) -> None:
    """The size of the model is charged to who writes it, and bounds the files it may write."""
    limits = SHIPPED_POLICY.limits(verb, 2.0, 2**33)

    assert limits.model == (SHIPPED_POLICY.model_bytes if model else 0)
    assert limits.file_size == largest


def test_an_unknown_verb_has_no_limits() -> None:
    """Nor may it run without."""
    with pytest.raises(KeyError):
        SHIPPED_POLICY.limits("serve", 2.0, 2**33)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('runtime = "runc"', 'runtime = "kata"', "runtime must be one of runc, runsc"),
        ('runtime = "runc"', "", "missing key 'runtime'"),
        ("processes = 512", "processes = 512\nnetwork = true", "unknown key 'network'"),
        ("processes = 512", "processes = 0", "processes must be 1 to 4096"),
        ("processes = 512", "processes = 1_000_000", "processes must be 1 to 4096"),
        ("processes = 512", 'processes = "512"', "processes must be 1 to 4096"),
        ("processes = 512", "processes = true", "processes must be 1 to 4096"),
        ("processes = 512", "processes = ", "cannot be read as TOML"),
        ("train_seconds = 14_400", "", "missing key 'train_seconds'"),
        ("train_seconds = 14_400", "train_seconds = 604_801", "train_seconds must be 1 to 604800"),
        ("train_seconds = 14_400", "train_seconds = 0", "train_seconds must be 1 to 604800"),
        ("train_seconds = 14_400", "train_seconds = 1.5", "train_seconds must be 1 to 604800"),
        ("model_bytes = 1_073_741_824", "", "missing key 'model_bytes'"),
        ("model_bytes = 1_073_741_824", "model_bytes = 0", "model_bytes must be 1 to 687194767"),
        ("model_bytes = 1_073_741_824", "model_bytes = true", "model_bytes must be 1 to 687194767"),
        ("require = []", "", "missing key 'require'"),
        ("require = []", 'require = "swap"', "require must be a list of names"),
        ("require = []", "require = [1]", "require must be a list of names"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    """Unknown, missing, too generous, of another type."""
    assert old in SHIPPED
    path = tmp_path / "sandbox.toml"
    path.write_text(SHIPPED.replace(old, new))

    with pytest.raises(PolicyError, match=words):
        load_policy(path)


def test_what_must_not_remain_is_read_by_name(tmp_path: Path) -> None:
    """A tuple of ids; which ids there are is not for the sandbox to know."""
    path = tmp_path / "sandbox.toml"
    path.write_text(SHIPPED.replace("require = []", 'require = ["swap", "kernel-log-text"]'))

    assert load_policy(path).require == ("swap", "kernel-log-text")


def test_every_problem_is_named_at_once(tmp_path: Path) -> None:
    """One reading, all mistakes."""
    path = tmp_path / "sandbox.toml"
    path.write_text(SHIPPED.replace("512", "0").replace("4096", "0") + "\nextra = 1\n")

    with pytest.raises(PolicyError) as refusal:
        load_policy(path)

    assert all(word in str(refusal.value) for word in ("processes", "open_files", "extra"))


def test_a_policy_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    """With the path."""
    with pytest.raises(PolicyError, match=r"gone\.toml cannot be read"):
        load_policy(tmp_path / "gone.toml")
