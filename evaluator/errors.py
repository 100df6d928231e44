"""Whose fault it is, as a type.

    EvaluatorError
      SubmissionError       the vendor's: a signed result with its status, exit 1
        Refused             before any of it ran on tiles, with the id of the rule
      OwnerError            the operator's (usage, config, data): no result, exit 2
      VerificationError     a result that does not verify: exit 4

    sandbox.SandboxError    the host's or ours: no result, never charged, exit 3
      sandbox.PolicyError   the operator's sandbox policy: exit 2

A `SubmissionError` may be shown to the vendor, so its words come from this program
alone: no path, no data, nothing that a submission wrote.
"""


class EvaluatorError(Exception):
    """Anything this program says on purpose: what happened, why, and what to do next."""


class SubmissionError(EvaluatorError):
    """The submission failed; `status` is the only word of it that a vendor sees."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status


class Refused(SubmissionError):  # noqa: N818 - the word of the contract's status
    """The submission broke an admission rule, so none of it ran on tiles."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__("REFUSED", f"{rule}: {message}")
        self.rule = rule


class OwnerError(EvaluatorError):
    """The workspace, its data or the command line is not as it must be."""


class VerificationError(EvaluatorError):
    """A result is not what its signer signed, or does not add up."""
