"""Every rule, by id and by name. An id never changes its meaning and is never used again.

Areas: 1xx an image's archive and settings, 2xx its layers, 3xx an ONNX file, 4xx the contract, 9xx
`validate` itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.kinds import BASE
from evaluator.lint import (
    content_rules,
    contract_rules,
    estimate_rules,
    image_rules,
    internal_rules,
    log_rules,
    onnx_rules,
    refused_images,
    refused_models,
    variable_rules,
)

if TYPE_CHECKING:
    from evaluator.lint.rule import Rule

_MODULES = (
    *(refused_images, image_rules, variable_rules, content_rules),
    *(refused_models, onnx_rules, contract_rules, estimate_rules, log_rules, internal_rules),
)
_ALL = [rule for module in _MODULES for rule in module.RULES]

RULES: dict[str, Rule] = {rule.id: rule for rule in sorted(_ALL, key=lambda rule: rule.id)}
NAMES: dict[str, Rule] = {rule.name: rule for rule in RULES.values()}


def find(said: str) -> Rule | None:
    """The rule with this id or name, however it is capitalised."""
    return RULES.get(said.upper()) or NAMES.get(said.lower())


def url(rule: Rule) -> str:
    """The page of a rule."""
    return f"{BASE}rules/{rule.id}"
