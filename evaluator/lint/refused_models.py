"""The intake's own rules of ONNX files, of their training and of its recipe: why each is there."""

from __future__ import annotations

from evaluator.lint.making import block, refusal
from evaluator.onnx_check import REMEDIES as OF_MODELS
from evaluator.training_check import REMEDIES as OF_TRAINING

REMEDIES = OF_MODELS | OF_TRAINING

RULES = (
    refusal(
        301,
        "model-too-large",
        "onnx",
        "model",
        title="The file has a size that the owner allows",
        why=(
            "A protobuf message holds at most 2 GiB, and onnxruntime keeps the weights in memory "
            "more than once."
        ),
        fix="Submit weights in fewer bits, or a smaller model; a container may be larger."
        + block(
            "python",
            "from onnxconverter_common import float16",
            "",
            'onnx.save(float16.convert_float_to_float16(model, keep_io_types=True), "small.onnx")',
        ),
    ),
    refusal(
        302,
        "not-an-onnx-model",
        "onnx",
        "model",
        title="The file is an ONNX model",
        why="Nothing else is run by our runner.",
        fix=REMEDIES["EVA302"]
        + block(
            "python",
            'onnx.checker.check_model("model.onnx")',
        ),
    ),
    refusal(
        303,
        "external-data",
        "onnx",
        "model",
        title="All weights are in the one file",
        why="A file beside it would be a path that the model chooses.",
        fix=REMEDIES["EVA303"]
        + block(
            "python",
            'torch.onnx.export(model, tile, "model.onnx", external_data=False)',
        ),
    ),
    refusal(
        304,
        "unknown-operator",
        "onnx",
        "model",
        title="onnxruntime knows every operator",
        why="A missing operator would need code from outside.",
        fix=REMEDIES["EVA304"]
        + block(
            "python",
            'torch.onnx.export(model, tile, "model.onnx", opset_version=17)',
        ),
    ),
    refusal(
        305,
        "not-one-input-and-output",
        "onnx",
        "model",
        title="One input and one output",
        why="A tile goes in, and its answer comes out; which of several would be a guess.",
        fix="Wrap the model so that it takes tiles and returns scores alone, and export that."
        + block(
            "python",
            "class OneOutput(torch.nn.Module):",
            "    def forward(self, tiles):",
            '        return model(tiles)["logits"]',
        ),
    ),
    refusal(
        306,
        "input-does-not-fit",
        "onnx",
        "model",
        title="The input takes tiles of this challenge",
        why=(
            "Nothing is resized or cast: a model that saw other tiles would be scored on something "
            "that nobody chose."
        ),
        fix=(
            "Export with a tile of the shape that the message names, as float32, and with the batch"
            " dynamic. Values arrive as they are stored: scale them in the model or with "
            "`evaluator.scale`, `evaluator.mean` and `evaluator.std` in its metadata."
        )
        + block(
            "python",
            "tile = torch.zeros(1, BANDS, HEIGHT, WIDTH)",
            'free = {"tiles": {0: "N"}}',
            'names = {"input_names": ["tiles"], "dynamic_axes": free}',
            'torch.onnx.export(model, tile, "model.onnx", **names)',
        ),
    ),
    refusal(
        307,
        "output-does-not-fit",
        "onnx",
        "model",
        title="The output answers for the classes of this challenge",
        why=(
            "A score for each class, in the order of `classes` in the challenge, or a class index; "
            "for a regression one number."
        ),
        fix=(
            "Replace the last layer by one with as many outputs as the challenge has classes (one "
            "for a regression)."
        )
        + block(
            "python",
            "model.fc = torch.nn.Linear(model.fc.in_features, CLASSES)",
        ),
    ),
    refusal(
        308,
        "metadata-not-usable",
        "onnx",
        "model",
        title="evaluator.* entries of the metadata are known ones",
        why="A misspelt key would be ignored, and the model would see unscaled tiles.",
        fix=(
            "Keys are `evaluator.scale`, `evaluator.mean`, `evaluator.std` (a number, or one for "
            "each channel) and `evaluator.channels` (`repeat`)."
        )
        + block(
            "python",
            'onnx.helper.set_model_props(model, {"evaluator.scale": "0.00392156862745098"})',
        ),
    ),
    refusal(
        309,
        "model-does-not-run",
        "onnx",
        "model",
        title="onnxruntime loads the model and runs one batch of zeros",
        why="What fails on zeros would fail on tiles.",
        fix="Run it in onnxruntime yourself: its message says which node fails."
        + block(
            "python",
            'session = onnxruntime.InferenceSession("model.onnx")',
            "entry = session.get_inputs()[0]",
            'zeros = numpy.zeros((1, BANDS, HEIGHT, WIDTH), "float32")',
            "session.run(None, {entry.name: zeros})",
        ),
    ),
    refusal(
        310,
        "opset-version",
        "onnx",
        "model",
        title="The version of the standard operators is supported",
        why="onnxruntime runs these versions and no others.",
        fix=REMEDIES["EVA310"]
        + block(
            "python",
            'torch.onnx.export(model, tile, "model.onnx", opset_version=17)',
        ),
    ),
    refusal(
        311,
        "unknown-domain",
        "onnx",
        "model",
        title="Operators come from known sets",
        why="An operator set of one's own is code from outside.",
        fix=REMEDIES["EVA311"]
        + block(
            "python",
            '{node.domain for node in onnx.load("model.onnx").graph.node}',
        ),
    ),
    refusal(
        312,
        "refused-operator",
        "onnx",
        "model",
        title="No operator opens files or compiled engines",
        why=(
            "Such operators read whatever path the model says, or run machine code of the model's "
            "own."
        ),
        fix=REMEDIES["EVA312"]
        + block(
            "python",
            '{node.op_type for node in onnx.load("model.onnx").graph.node}',
        ),
    ),
    refusal(
        313,
        "function-recursion",
        "onnx",
        "model",
        title="No function calls itself",
        why="Inlining it would never end.",
        fix=REMEDIES["EVA313"]
        + block(
            "python",
            'onnx.save(onnx.inliner.inline_local_functions(model), "model.onnx")',
        ),
    ),
    refusal(
        314,
        "too-many-nodes",
        "onnx",
        "model",
        title="The graph has no more nodes than the owner allows",
        why="Functions that call functions make exponentially large graphs of small files.",
        fix=REMEDIES["EVA314"]
        + block(
            "python",
            'model, _ = onnxsim.simplify(onnx.load("model.onnx"))',
        ),
    ),
    refusal(
        315,
        "too-many-initializers",
        "onnx",
        "model",
        title="The graph has no more initializers than the owner allows",
        why="Each takes memory and time to load, however small.",
        fix=REMEDIES["EVA315"]
        + block(
            "python",
            'model, _ = onnxsim.simplify(onnx.load("model.onnx"))',
        ),
    ),
    refusal(
        316,
        "dimension-too-large",
        "onnx",
        "model",
        title="Every dimension of a tensor is plausible",
        why="Products of dimensions overflow in readers, and one large enough takes all memory.",
        fix=REMEDIES["EVA316"]
        + block(
            "python",
            'onnx.checker.check_model("model.onnx")',
        ),
    ),
    refusal(
        317,
        "tensor-larger-than-its-bytes",
        "onnx",
        "model",
        title="Every tensor holds what it declares",
        why="Memory is taken for what is declared, before anything is read.",
        fix=REMEDIES["EVA317"]
        + block(
            "python",
            'onnx.checker.check_model("model.onnx")',
        ),
    ),
    refusal(
        318,
        "nested-too-deep",
        "onnx",
        "model",
        title="Messages are not nested too deep",
        why="Readers of protobuf call themselves for each level, until the stack ends.",
        fix=REMEDIES["EVA318"]
        + block(
            "python",
            'onnx.save(onnx.inliner.inline_local_functions(model), "model.onnx")',
        ),
    ),
    refusal(
        319,
        "onnxruntime-format",
        "onnx",
        "model",
        title="The file is ONNX, not onnxruntime's own format",
        why="That format is read without the checks that ONNX files get.",
        fix=REMEDIES["EVA319"]
        + block(
            "sh",
            "ls *.onnx",
        ),
    ),
    refusal(
        320,
        "too-many-fields",
        "onnx",
        "model",
        title="The file has no more protobuf fields than large models have",
        why="Each field is an object in memory: a file of small ones takes many times its size.",
        fix=REMEDIES["EVA320"]
        + block(
            "python",
            'tensor = onnx.numpy_helper.from_array(values, name="weights")',
        ),
    ),
    refusal(
        330,
        "operator-not-trainable",
        "onnx",
        "model",
        title="Our trainer knows every operator",
        why="Weights are trained in the same graph, so each operator needs a gradient.",
        fix=REMEDIES["EVA330"]
        + block(
            "sh",
            "evaluator run model.onnx --phase baseline",
        ),
    ),
    refusal(
        331,
        "forward-differs",
        "onnx",
        "model",
        title="Our trainer computes what onnxruntime computes",
        why="Weights that were learnt for another function would not hold in this one.",
        fix=REMEDIES["EVA331"]
        + block(
            "python",
            'torch.onnx.export(model.float().eval(), tile, "model.onnx", dynamo=True)',
        ),
    ),
    refusal(
        332,
        "nothing-to-train",
        "onnx",
        "model",
        title="There are float weights to train",
        why="Quantised weights have no gradient, and a recipe may freeze every layer.",
        fix="Export before it is quantised, or freeze fewer layers."
        + block(
            "json",
            '{"frozen_layers": 0}',
        ),
    ),
    refusal(
        333,
        "no-scores-to-train",
        "onnx",
        "model",
        title="The output is scores or numbers",
        why="An index has no gradient.",
        fix=REMEDIES["EVA333"]
        + block(
            "python",
            "return logits  # in forward, not logits.argmax(1)",
        ),
    ),
    refusal(
        334,
        "no-linear-head",
        "onnx",
        "model",
        title="Mode head has a linear layer to train",
        why="It fits the last linear layer and nothing else.",
        fix=REMEDIES["EVA334"]
        + block(
            "json",
            '{"mode": "full"}',
        ),
    ),
    refusal(
        335,
        "not-trainable",
        "onnx",
        "model",
        title="Our trainer can train it on one batch of zeros",
        why="What fails on zeros would fail on tiles, after it was charged.",
        fix=(
            "Export it in float32 with plain operators, ask for the baseline alone, or submit a "
            "container that trains itself."
        )
        + block(
            "sh",
            "evaluator run model.onnx --phase baseline",
        ),
    ),
    refusal(
        401,
        "recipe-not-allowed",
        "both",
        "recipe",
        title="hyperparameters.json has known keys within the owner's bounds",
        why="A misspelt key would train by a default that nobody asked for.",
        fix=(
            "Take out what the message names; every key has a default, so the shortest recipe is an"
            " empty object."
        )
        + block(
            "json",
            '{"epochs": 6, "learning_rate": 0.001}',
        ),
    ),
    refusal(
        402,
        "beyond-the-compute-budget",
        "onnx",
        "compute",
        title="Training fits into what is left of the compute budget",
        why=(
            "It is estimated before anything is charged, so that a training that cannot end costs "
            "nothing."
        ),
        fix=REMEDIES["EVA402"]
        + block(
            "json",
            '{"epochs": 2, "mode": "head"}',
        ),
    ),
)
