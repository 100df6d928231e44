"""What `validate` asks of a submission, and what it answers.

facts             everything that was read, counted or measured: all that a rule looks at
rule              a rule, a place where it is broken, a waiver
making            how rules are written down
catalogue         every rule, by id and by name
refused_images    the intake's own rules of images, word for word
refused_models    the intake's own rules of ONNX files, their training and its recipe
image_rules       EVA110 on: settings of an image
content_rules     EVA210 on: what its layers hold
onnx_rules        EVA340 on: an ONNX file that runs, and will surprise
contract_rules    EVA403 on: how the verbs ended and what they left
estimate_rules    EVA420 on: what it will need on the owner's host
log_rules         EVA430 on: what the log says of the reason
internal_rules    EVA901 on: of `validate` itself
dockerfile        the lines of a Dockerfile that a finding points at
judge, verdict    every rule asked, fail closed
waivers           .evaluatorignore.toml
pages             docs/rules, made from all this
"""
