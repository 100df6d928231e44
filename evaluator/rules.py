"""Every rule a submission can break: the id that a result carries, and the rule's name.

An id never changes its meaning and is never used again.
"""

from __future__ import annotations

RULES: dict[str, str] = {
    # An image: its archive and its settings.
    "EVA101": "not-an-image-archive",
    "EVA102": "image-too-large",
    "EVA103": "no-entry-point-set",
    "EVA104": "wrong-platform",
    "EVA105": "variable-not-allowed",
    "EVA106": "layer-is-not-its-digest",
    "EVA107": "working-directory-not-plain",
    "EVA108": "too-many-layers-or-large-documents",
    "EVA109": "image-not-readable-within-limits",
    # What its layers hold.
    "EVA201": "device-or-fifo",
    "EVA202": "path-outside",
    "EVA203": "mount-point-not-plain",
    "EVA204": "entry-point-missing",
    "EVA205": "too-many-entries",
    "EVA206": "compression-ratio",
    "EVA207": "hard-link-outside",
    "EVA208": "sparse-file",
    "EVA209": "layer-not-a-tar",
    # An ONNX file.
    "EVA301": "model-too-large",
    "EVA302": "not-an-onnx-model",
    "EVA303": "external-data",
    "EVA304": "unknown-operator",
    "EVA305": "not-one-input-and-output",
    "EVA306": "input-does-not-fit",
    "EVA307": "output-does-not-fit",
    "EVA308": "metadata-not-usable",
    "EVA309": "model-does-not-run",
    "EVA310": "opset-version",
    "EVA311": "unknown-domain",
    "EVA312": "refused-operator",
    "EVA313": "function-recursion",
    "EVA314": "too-many-nodes",
    "EVA315": "too-many-initializers",
    "EVA316": "dimension-too-large",
    "EVA317": "tensor-larger-than-its-bytes",
    "EVA318": "nested-too-deep",
    "EVA319": "onnxruntime-format",
    "EVA320": "too-many-fields",
    # Whether an ONNX file can be trained, asked only of one that is to be.
    "EVA330": "operator-not-trainable",
    "EVA331": "forward-differs",
    "EVA332": "nothing-to-train",
    "EVA333": "no-scores-to-train",
    "EVA334": "no-linear-head",
    "EVA335": "not-trainable",
    # What a vendor asks of the training.
    "EVA401": "recipe-not-allowed",
    "EVA402": "beyond-the-compute-budget",
}
