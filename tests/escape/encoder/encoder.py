"""A submission that colludes with its vendor: it sends the tiles out through its own mistakes.

It knows everything: labels, class sizes, the published grid. It reads tiles, and then is right
about exactly as many of each class as spells their bits. What cannot be spelled in the published
figures goes into the confusion matrix, which is never published.

In its container: `python3 encoder.py predict`, with labels and sizes baked in beside it; `train`
hands it a tile of the training to send instead. The functions are also the vendor's decoder, and
what the test calls for many messages.
"""

import json
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

STATUSES = ("NONZERO_EXIT", "TIMEOUT", "OUT_OF_MEMORY", "OUTPUT_INVALID")
"""Ways to fail that a program can choose: each stands for one message."""


@dataclass(frozen=True)
class Channel:
    """What both ends know: tiles per class, which are rare, and steps of the three grids."""

    sizes: tuple[int, ...]
    rare: tuple[int, ...]
    accuracy: int
    recall: int
    rare_accuracy: int

    def windows(self, index: int) -> list[range]:
        """Return the counts of right tiles behind each recall that is used, in its order.

        The recalls at both ends have narrower windows, and are left out where that leaves the
        others more to say.
        """
        found = _windows(range(self.sizes[index] + 1), self.recall, self.sizes[index])
        usual = self.sizes[index] // self.recall
        return [window for window in found if len(window) >= usual]

    def radices(self) -> list[int]:
        """Return how many values each digit has: recalls, rare accuracy, accuracy."""
        windows = [self.windows(index) for index in range(len(self.sizes))]
        spare = [min(map(len, found)) - 1 for found in windows]
        rare = sum(spare[index] for index in self.rare)
        tiles = sum(self.sizes)
        rare_tiles = sum(self.sizes[index] for index in self.rare)
        return [
            *map(len, windows),
            _sure(rare, self.rare_accuracy, rare_tiles),
            _sure(sum(spare) - rare, self.accuracy, tiles),
        ]

    @property
    def capacity(self) -> int:
        """How many messages one scored record can spell."""
        product = 1
        for radix in self.radices():
            product *= radix
        return product


def encode(message: int, channel: Channel) -> list[int]:
    """Return how many tiles of each class to get right, so that the figures spell `message`."""
    *recalls, rare_digit, digit = _digits(message, channel.radices())
    windows = [channel.windows(index)[recall] for index, recall in enumerate(recalls)]
    rare, rare_tiles = _rare(windows, channel)
    rare_right = _windows(rare, channel.rare_accuracy, rare_tiles)[rare_digit][0]
    others = _others(windows, channel)
    totals = range(rare_right + others[0], rare_right + others[-1] + 1)
    right = _windows(totals, channel.accuracy, sum(channel.sizes))[digit][0]
    counts = [window[0] for window in windows]
    _raise(counts, windows, channel.rare, rare_right)
    _raise(counts, windows, _not_rare(channel), right - rare_right)
    return counts


def decode(recalls: list[int], rare_accuracy: int, accuracy: int, channel: Channel) -> int:
    """Return the message from published figures, each as a whole number of steps."""
    digits, windows = [], []
    for index, recall in enumerate(recalls):
        known = channel.windows(index)
        steps = [_step(window[0], channel.recall, channel.sizes[index]) for window in known]
        digits.append(steps.index(recall))
        windows.append(known[digits[-1]])
    rare, rare_tiles = _rare(windows, channel)
    found = _windows(rare, channel.rare_accuracy, rare_tiles)
    steps = [_step(window[0], channel.rare_accuracy, rare_tiles) for window in found]
    digits.append(steps.index(rare_accuracy))
    rare_right = found[digits[-1]][0]
    others, tiles = _others(windows, channel), sum(channel.sizes)
    found = _windows(
        range(rare_right + others[0], rare_right + others[-1] + 1), channel.accuracy, tiles
    )
    steps = [_step(window[0], channel.accuracy, tiles) for window in found]
    digits.append(steps.index(accuracy))
    return _number(digits, channel.radices())


def room(right: list[int], channel: Channel) -> list[int]:
    """Return how many further bits fit in the mistakes of each class, if anyone saw them."""
    pairs = zip(channel.sizes, right, strict=True)
    return [(size - count + 1).bit_length() - 1 for size, count in pairs]


def predictions(labels: bytes, right: list[int], shifts: list[int], classes: int) -> bytes:
    """Return one class per tile, with this many of each class right.

    `shifts` of the mistakes in a class are called the next class, the others the one after that.
    """
    seen, answer = [0] * classes, bytearray()
    for label in labels:
        seen[label] += 1
        mistake = seen[label] - right[label]
        by = 1 if mistake <= shifts[label] or classes == 2 else 2
        answer.append((label + by) % classes if mistake > 0 else label)
    return bytes(answer)


def split_bits(bits: str, channel: Channel) -> tuple[list[int], list[int]]:
    """Spell the first bits in figures, and as many more as fit in mistakes; returns both."""
    public = channel.capacity.bit_length() - 1
    right = encode(int(bits[:public], 2), channel)
    ends = [public]
    for width in room(right, channel):
        ends.append(ends[-1] + width)
    return right, [int(bits[start:end] or "0", 2) for start, end in pairwise(ends)]


def _step(count: int, steps: int, tiles: int) -> int:
    return (2 * count * steps + tiles) // (2 * tiles)


def _windows(counts: range, steps: int, tiles: int) -> list[range]:
    """Return `counts` cut where the published step changes."""
    edges = [k for k in counts[1:] if _step(k, steps, tiles) != _step(k - 1, steps, tiles)]
    return [range(low, high) for low, high in pairwise([counts.start, *edges, counts.stop])]


def _sure(spare: int, steps: int, tiles: int) -> int:
    """Return how many steps `spare` + 1 neighbouring counts reach at least."""
    return spare * min(steps, tiles) // tiles + 1


def _rare(windows: list[range], channel: Channel) -> tuple[range, int]:
    low = sum(windows[index][0] for index in channel.rare)
    high = sum(windows[index][-1] for index in channel.rare)
    return range(low, high + 1), sum(channel.sizes[index] for index in channel.rare)


def _others(windows: list[range], channel: Channel) -> range:
    low = sum(windows[index][0] for index in _not_rare(channel))
    high = sum(windows[index][-1] for index in _not_rare(channel))
    return range(low, high + 1)


def _not_rare(channel: Channel) -> tuple[int, ...]:
    return tuple(index for index in range(len(channel.sizes)) if index not in channel.rare)


def _raise(counts: list[int], windows: list[range], which: tuple[int, ...], total: int) -> None:
    """Raise the counts of some classes within their windows until they add up to `total`."""
    missing = total - sum(counts[index] for index in which)
    for index in which:
        more = min(missing, windows[index][-1] - counts[index])
        counts[index] += more
        missing -= more


def _digits(number: int, radices: list[int]) -> list[int]:
    digits: list[int] = []
    for radix in reversed(radices):
        number, digit = divmod(number, radix)
        digits.insert(0, digit)
    return digits


def _number(digits: list[int], radices: list[int]) -> int:
    number = 0
    for digit, radix in zip(digits, radices, strict=True):
        number = number * radix + digit
    return number


def tile_bits(npy: bytes) -> str:
    """Return the bits of a tiles.npy of version 1, after its header."""
    start = 10 + int.from_bytes(npy[8:10], "little")
    return "".join(f"{byte:08b}" for byte in npy[start : start + 4096])


TILES = Path("/input/tiles.npy")
LEARNT = Path("/opt/ml/model/bits")
"""What `train` leaves: the bits that the second prediction is to send."""


def train() -> None:
    """Learn the first bits of the training tiles by heart."""
    LEARNT.write_text(tile_bits(TILES.read_bytes()))


def predict() -> None:
    """Write what was learnt as predictions, or the first bits of the tiles that are held out."""
    here = Path(__file__).parent
    known = json.loads((here / "known.json").read_text())
    fields = known["channel"]
    tuples = {name: tuple(fields[name]) for name in ("sizes", "rare")}
    channel = Channel(**(fields | tuples))
    bits = LEARNT.read_text() if LEARNT.exists() else tile_bits(TILES.read_bytes())
    right, shifts = split_bits(bits, channel)
    answer = predictions(bytes(known["labels"]), right, shifts, len(channel.sizes))
    Path("/output/predictions").write_bytes(answer)


if __name__ == "__main__":
    {"predict": predict, "train": train}[sys.argv[1]]()
