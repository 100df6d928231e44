"""SHA-256 digests by number, and the first of each: about 50 bytes for one, at any number."""

from array import array

BYTES = 32


class Digests:
    """Digests in the order in which they were added.

    `first[n]` is the number of the first that is the same as number n: n itself where there was
    none before it.
    """

    def __init__(self) -> None:
        self.first = array("I")
        self._all = bytearray()
        # A hash table with open addressing. A slot has 1 + the number of a digest, or 0. A digest
        # is as good as random, so its own bytes say where to look.
        self._slots = array("I", bytes(4 * 1024))
        self._used = 0

    def __len__(self) -> int:
        """How many there are."""
        return len(self.first)

    def __getitem__(self, number: int) -> bytes:
        """Return one digest."""
        return bytes(self._all[number * BYTES : (number + 1) * BYTES])

    def find(self, digest: bytes) -> int | None:
        """Return the number of the first that is the same, if there is one."""
        known = self._slots[self._slot(digest)]
        return known - 1 if known else None

    def append(self, digest: bytes) -> None:
        """Add one to the end."""
        number, slot = len(self.first), self._slot(digest)
        known = self._slots[slot]
        self._all += digest
        self.first.append(known - 1 if known else number)
        if not known:
            self._slots[slot] = number + 1
            self._used += 1
            if 3 * self._used > 2 * len(self._slots):
                self._grow()

    def _slot(self, digest: bytes) -> int:
        """Return the slot of a digest, which is a free one where it is new."""
        slots = self._slots
        slot = int.from_bytes(digest[:8], "big") % len(slots)
        while slots[slot] and self[slots[slot] - 1] != digest:
            slot = (slot + 1) % len(slots)
        return slot

    def _grow(self) -> None:
        self._slots = array("I", bytes(2 * 4 * len(self._slots)))
        for number, first in enumerate(self.first):
            if number == first:
                self._slots[self._slot(self[number])] = number + 1
