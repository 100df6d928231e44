"""The graph of a model as a torch module: nodes run as torch functions, under autograd.

Weights are Parameters; what depends on neither the weights nor the images is computed once.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import elementwise  # noqa: F401 - these enter their operators
import linear  # noqa: F401
import numpy as np
import pooling  # noqa: F401
import reductions  # noqa: F401
import resizing  # noqa: F401
import shapes  # noqa: F401
import torch
from graph import Graph
from numpy.typing import NDArray
from onnx import AttributeProto, NodeProto, helper, numpy_helper
from operators import KNOWN, Node, UnsupportedError
from torch import Tensor, nn
from verdicts import UntrainableError, Verdict

FOLDED = 2**24  # numbers in a tensor computed once: more is memory, not speed
Values = dict[str, Tensor]


class Executor(nn.Module):
    """Computes what the graph computes, (batch, ...) images -> the output or any inner tensor."""

    def __init__(self, graph: Graph, device: str = "cpu") -> None:
        super().__init__()
        self.input, self.output = graph.input, graph.output
        self.device = device
        self.nodes = [translated(node, at, graph) for at, node in enumerate(graph.nodes)]
        require_known(self.nodes)
        self.parameter: dict[str, nn.Parameter] = {}
        for at, name in enumerate(graph.weights):
            held = nn.Parameter(torch.from_numpy(graph.value(name).copy()).to(device))
            self.register_parameter(f"weight{at}", held)
            self.parameter[name] = held
        self.known: Values = {}
        read = {name for node in self.nodes for name in names_read(node)} | {self.output}
        for name in graph.tensors.keys() & read - self.parameter.keys():
            self.known[name] = placed(tensor_of(graph.value(name)), device)
        self.nodes = self.folded()
        self.last = last_uses(self.nodes, self.output)

    def forward(self, images: Tensor, wanted: str | None = None) -> Tensor:
        """The output, or the tensor named `wanted`."""
        wanted = wanted or self.output
        values: Values = self.known | self.parameter | {self.input: images}
        for node in self.nodes:
            if wanted in values:
                break
            run(node, values)
            for name in self.last.get(node.index, ()):
                if name != wanted:
                    values.pop(name, None)
        return values[wanted]

    def folded(self) -> list[Node]:
        """The nodes that are left once everything that never changes is computed."""
        rest = []
        with torch.no_grad():
            for node in self.nodes:
                if not all(name in self.known for name in names_read(node)):
                    rest.append(node)
                    continue
                made = dict(self.known)
                run(node, made)
                results = {name: made[name] for name in node.outputs if name in made}
                if sum(value.numel() for value in results.values()) > FOLDED:
                    rest.append(node)
                else:
                    self.known |= {k: placed(v, self.device) for k, v in results.items()}
        return rest

    def trained(self) -> dict[str, NDArray[Any]]:
        """The weights as they are now."""
        return {
            name: held.detach().cpu().contiguous().numpy() for name, held in self.parameter.items()
        }


def translated(node: NodeProto, index: int, graph: Graph) -> Node:
    """A node with its attributes as Python values and torch tensors."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    return Node(
        index=index,
        domain=domain,
        name=node.op_type,
        version=graph.version(domain),
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes={held.name: attribute_value(held, graph) for held in node.attribute},
    )


def attribute_value(attribute: AttributeProto, graph: Graph) -> Any:  # noqa: ANN401 - any ONNX value
    """Numbers, texts, lists of them, a tensor, or a branch."""
    if attribute.type == AttributeProto.GRAPH:
        return Branch(attribute.g, graph)
    value = helper.get_attribute_value(attribute)
    if attribute.type == AttributeProto.TENSOR:
        return tensor_of(numpy_helper.to_array(value))
    if attribute.type in {AttributeProto.INTS, AttributeProto.FLOATS}:
        return list(value)
    return value.decode(errors="replace") if isinstance(value, bytes) else value


class Branch:
    """One side of an If: it reads the tensors around it and takes no inputs."""

    def __init__(self, inner: Any, graph: Graph) -> None:  # noqa: ANN401 - a GraphProto
        self.nodes = [translated(node, at, graph) for at, node in enumerate(inner.node)]
        self.known = {t.name: tensor_of(numpy_helper.to_array(t)) for t in inner.initializer}
        self.outputs = [output.name for output in inner.output]

    def names(self) -> set[str]:
        """What it reads from outside."""
        own = set(self.known) | {name for node in self.nodes for name in node.outputs}
        read = {name for node in self.nodes for name in names_read(node)} | set(self.outputs)
        return read - own

    def run(self, outside: Values) -> tuple[Tensor, ...]:
        """Its outputs."""
        values = outside | self.known
        for node in self.nodes:
            run(node, values)
        return tuple(values[name] for name in self.outputs)


def names_read(node: Node) -> set[str]:
    """Inputs, and what branches read."""
    branches = [held for held in node.attributes.values() if isinstance(held, Branch)]
    return {name for name in node.inputs if name}.union(*(inner.names() for inner in branches))


def run(node: Node, values: Values) -> None:
    """Compute one node's outputs into `values`; UntrainableError says which node could not."""
    try:
        if node.name == "If":
            side = "then_branch" if bool(values[node.inputs[0]].item()) else "else_branch"
            results: Sequence[Tensor | None] = node.get(side).run(values)
        elif node.name == "Constant":
            results = [constant(node)]
        else:
            inputs = [values[name] if name else None for name in node.inputs]
            made = KNOWN[node.domain, node.name](node, *inputs)
            results = made if isinstance(made, tuple) else (made,)
    except (UntrainableError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise untrainable(node, f"{type(error).__name__}: {error}") from error
    for name, result in zip(node.outputs, results, strict=False):
        if name and result is not None:
            values[name] = result


def constant(node: Node) -> Tensor:
    """A Constant that is no tensor: a number or a list of them."""
    for name, dtype in (("value_float", np.float32), ("value_int", np.int64)):
        for given in (name, f"{name}s"):
            if given in node.attributes:
                return torch.from_numpy(np.array(node.get(given), dtype))
    if "value" in node.attributes:
        held: Tensor = node.get("value")
        return held
    raise UnsupportedError("a Constant that is no number")


def require_known(nodes: Iterable[Node]) -> None:
    """Raise UntrainableError for the first operator that is not computed here."""
    for node in nodes:
        if node.name in {"If", "Constant"} and not node.domain:
            for held in node.attributes.values():
                if isinstance(held, Branch):
                    require_known(held.nodes)
        elif (node.domain, node.name) not in KNOWN:
            raise untrainable(node, "is not done here")


def untrainable(node: Node, message: str) -> UntrainableError:
    """The error that names a node."""
    return UntrainableError(
        Verdict.NOT_TRAINABLE_OPERATOR,
        f"{node.name}: {message}",
        (node.domain, node.name),
        node.index,
    )


def tensor_of(value: NDArray[Any]) -> Tensor:
    """A torch tensor with memory of its own."""
    if value.dtype.kind not in "biuf":
        return torch.empty(0)  # text: nothing that is computed here reads it
    return torch.from_numpy(np.array(value))


def placed(value: Tensor, device: str) -> Tensor:
    """Floats lie where the images are, integers on the CPU."""
    return value.to(device) if value.is_floating_point() else value.cpu()


def last_uses(nodes: list[Node], output: str) -> dict[int, list[str]]:
    """For each node the tensors that nobody reads after it."""
    last: dict[str, int] = {}
    for node in nodes:
        for name in names_read(node):
            last[name] = node.index
    found: dict[int, list[str]] = {}
    for name, index in last.items():
        if name != output:
            found.setdefault(index, []).append(name)
    return found
