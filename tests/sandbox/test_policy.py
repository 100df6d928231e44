"""sandbox.toml is read strictly, and can only narrow."""

from pathlib import Path

import pytest

from sandbox import PolicyError, load_policy

SHIPPED = (Path(__file__).parents[2] / "policies" / "sandbox.toml").read_text()


def test_the_shipped_policy_loads() -> None:
    """The control of every refusal below."""
    policy = load_policy(Path(__file__).parents[2] / "policies" / "sandbox.toml")

    assert policy.runtime == "runc"
    assert policy.limits("predict", 2.0, 2**33).seconds == policy.predict_seconds


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
