"""What `validate` found, in the formats that people and programs read.

    FORMATS["sarif"](verdict)   the whole report as text

Each is a pure function of the verdict. A vendor's words go through `plain` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from evaluator.reports.document import json_text
from evaluator.reports.github import github
from evaluator.reports.gitlab import gitlab
from evaluator.reports.junit import junit
from evaluator.reports.markdown import markdown
from evaluator.reports.sarif import sarif
from evaluator.reports.text import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from evaluator.lint.verdict import Verdict

FORMATS: dict[str, Callable[[Verdict], str]] = {
    "text": text,
    "json": json_text,
    "sarif": sarif,
    "junit": junit,
    "github": github,
    "gitlab": gitlab,
    "markdown": markdown,
}
