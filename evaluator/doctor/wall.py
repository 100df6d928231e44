"""The second half of `doctor`: the corpus, tried behind the wall of a run."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import sandbox
from evaluator import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from evaluator.attacks.probing import Bench, Tried
    from evaluator.proof import Verdict

STOPPED = frozenset({"blocked", "contained"})


@dataclass(frozen=True, slots=True)
class Wall:
    """What came of the techniques; `positives` are those shown to work without the wall."""

    tried: tuple[Tried, ...]
    positives: tuple[Tried, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """SEALED where every technique that the wall claims to stop was stopped.

        One that got through is UNSEALED, whatever else is unknown.
        """
        claimed = [tried for tried in self.tried if tried.attack.must]
        if any(tried.outcome == "succeeds" for tried in claimed):
            return "UNSEALED"
        return "SEALED" if claimed and not self.open else "UNKNOWN"

    @property
    def stopped(self) -> tuple[str, ...]:
        """The ids of the techniques that were stopped."""
        return tuple(tried.attack.id for tried in self.tried if tried.outcome in STOPPED)

    @property
    def open(self) -> tuple[Tried, ...]:
        """What the wall claims to stop and was not seen to stop."""
        return tuple(
            t
            for t in self.tried
            if t.attack.must and t.outcome != "absent" and t.outcome not in STOPPED
        )

    @property
    def residual(self) -> tuple[Tried, ...]:
        """What got through where the wall makes no claim: the host or gVisor has to stop it."""
        through = (t for t in self.tried if not t.attack.must and t.outcome == "succeeds")
        # What the figures themselves say is counted in bits: no host takes that away.
        return tuple(tried for tried in through if tried.attack.category != "side")


def examine_wall(bench: Bench, *, full: bool, say: Callable[[str], None]) -> Wall:
    """Try the quick half, or every row and the positive controls that need no privilege.

    The caller holds the host lock. Raises SandboxError where no container can be started.
    """
    # Every run imports this module, and hardly one has to try the wall again.
    from evaluator.attacks.corpus import corpus  # noqa: PLC0415
    from evaluator.attacks.plain import try_plain  # noqa: PLC0415
    from evaluator.attacks.tries import try_all  # noqa: PLC0415

    rows = [row for row in corpus() if full or row.quick]
    say(f"Trying {len(rows)} techniques on the wall ...")
    tried = tuple(try_all(rows, bench))
    if not full:
        return Wall(tried)
    plain = [row for row in rows if row.plain and row.how == "probe"]
    say(f"Trying {len(plain)} of them in an ordinary container ...")
    return Wall(tried, tuple(try_plain(plain, bench)))


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A folder for the probe's files that no other user enters, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="doctor-", dir=parent) as folder:
        os.chmod(folder, 0o700)  # noqa: PTH101 - it is a str here
        yield Path(folder)


def bridge_address() -> str:
    """The host's side of the engine's bridge, where there is one: how a container would get out."""
    from evaluator.attacks.witness import own_address  # noqa: PLC0415 - as in examine_wall

    client = sandbox.connect()
    with sandbox.engine_errors():
        networks = client.networks(names=["bridge"])
    configs = [c for network in networks for c in network["IPAM"].get("Config") or ()]
    gateways = [str(config["Gateway"]) for config in configs if "Gateway" in config]
    return gateways[0] if gateways else own_address()


def digest(identity: Mapping[str, str], *texts: str) -> str:
    """What a verdict holds for: this host's identity, the policies, the probe and the corpus."""
    rows = resources.files("evaluator.attacks") / "rows"
    files = sorted(rows.iterdir(), key=lambda entry: entry.name)
    corpus_digest = hashlib.sha256(b"".join(entry.read_bytes() for entry in files)).hexdigest()
    parts = [__version__, corpus_digest, dict(identity), *texts]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
