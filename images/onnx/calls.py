"""Which operators a model calls, and how many nodes its own functions are when written out."""

from collections import Counter, defaultdict
from graphlib import CycleError, TopologicalSorter

from findings import Code, Limits, UnsuitableError

Call = tuple[bytes, bytes, bytes]  # domain, name and overload of an operator
MAIN = 0  # the graphs of the model itself, beside the functions by the byte they begin at


class Calls:
    """What the nodes of a model call; its functions are known only after all of it was seen."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.domains = {normal(domain.encode()) for domain in limits.domains}
        self.imports: dict[bytes, int] = {}  # domain -> where
        self.functions: dict[Call, int] = {}  # -> where it is defined
        self.made: defaultdict[int, Counter[Call]] = defaultdict(Counter)  # by function
        self.first: dict[Call, int] = {}  # call -> where it is made first

    def add(self, call: Call, at: int, function: int) -> None:
        """A node at byte `at`, in MAIN or in the function that begins at `function`."""
        self.made[function][call] += 1
        self.first.setdefault(call, at)

    def check(self) -> None:
        """Raise UnsuitableError for code from outside, and for functions that grow too large."""
        self.foreign_code()
        self.written_out()

    def foreign_code(self) -> None:
        """Refuse operators that are neither known nor functions of this very file."""
        own = {domain for domain, _, _ in self.functions}
        for domain, at in self.imports.items():
            if domain not in self.domains | own:
                raise UnsuitableError(Code.DOMAIN, "an unknown set of operators", at=at)
        for call, at in self.first.items():
            if call[0] not in self.domains and call not in self.functions:
                raise UnsuitableError(Code.DOMAIN, "an operator of an unknown set", at=at)

    def written_out(self) -> None:
        """Refuse functions that never end, and more nodes than allowed once they are inlined."""
        graph = {
            where: [self.functions[call] for call in self.made[where] if call in self.functions]
            for where in [MAIN, *self.functions.values()]
        }
        try:
            order = list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            at = min(error.args[1])
            raise UnsuitableError(Code.FUNCTION_CYCLE, "a function calls itself", at=at) from error
        size: dict[int, int] = {}
        for where in order:  # what a function calls comes before it
            inside = sum(
                times * max(1, size.get(self.functions.get(call, -1), 1))
                for call, times in self.made[where].items()
            )
            size[where] = min(inside, self.limits.nodes + 1)  # a number, not a thousand digits
            if inside > self.limits.nodes:
                words = f"more than {self.limits.nodes} nodes once its functions are inlined"
                raise UnsuitableError(Code.NODES, words, inside, where)


def normal(domain: bytes) -> bytes:
    """The standard operators have two names."""
    return b"" if domain == b"ai.onnx" else domain
