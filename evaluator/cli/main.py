"""The `evaluator` command itself: every way it can end has its exit code."""

from __future__ import annotations

import errno
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from evaluator import __version__
from evaluator.cli.commands import LazyGroup, outlines
from evaluator.cli.options import SUBMISSION_FAILED, say
from evaluator.errors import EvaluatorError, SubmissionError, VerificationError

if TYPE_CHECKING:
    from sys import UnraisableHookArgs
    from types import FrameType

OWNER, HOST, UNVERIFIED, INTERRUPTED = 2, 3, 4, 130

EPILOG = """\b
Exit codes:
  0    done
  1    the submission failed or was refused (a signed result says so), or there are findings
  2    the command line, the workspace or its data are not as they must be
  3    this host or this program failed: no result, nothing charged
  4    a result does not verify
  130  interrupted
"""


@click.group(
    cls=LazyGroup,
    commands=outlines(),
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="evaluator")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(*, debug: bool) -> None:
    """Run submissions on private image tiles in a sealed sandbox, and sign their scores."""


def main() -> NoReturn:
    """Run the command line; every way it can end has its exit code."""
    _handle_signals()
    os.umask(0o077)  # what a workspace holds is its owner's alone
    gc.set_threshold(100_000)  # imports make many objects and no garbage, so looking is for nothing

    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = OWNER
    except (click.Abort, KeyboardInterrupt) as error:
        kept = _notes(error.__cause__ or error)
        say(f"Interrupted. {kept}" if kept else "Interrupted; nothing unfinished is left.")
        code = INTERRUPTED
    except VerificationError as error:
        code = _failed(error, UNVERIFIED)
    except SubmissionError as error:
        code = _failed(error, SUBMISSION_FAILED)
    except EvaluatorError as error:
        code = _failed(error, OWNER)
    except _of_sandbox("PolicyError") as error:
        code = _failed(error, OWNER)
    except _of_sandbox("SandboxError") as error:
        code = _failed(error, HOST)
    except OSError as error:
        code = _failed(_host_trouble(error), HOST)
    gc.freeze()  # a last look for garbage among all that was imported takes longer than --version
    sys.exit(code or 0)


def _of_sandbox(name: str) -> tuple[type[Exception], ...]:
    """A class of the sandbox's errors; none where no command has imported it, for it is slow."""
    sandbox = sys.modules.get("sandbox")
    return (getattr(sandbox, name),) if sandbox else ()


def _handle_signals() -> None:
    """Let Ctrl-C, SIGTERM and a closed terminal interrupt a command, once."""
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(_signum: int, _frame: FrameType | None) -> NoReturn:
        for number in signals:  # from here on it cleans up, and a second Ctrl-C must not stop that
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    def again(dropped: UnraisableHookArgs) -> None:
        """Interrupt once more: Python drops what is raised in a __del__ or a callback."""
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(dropped)
            return
        signal.signal(signal.SIGTERM, interrupt)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        signal.setitimer(signal.ITIMER_REAL, 0.01)  # by then that __del__ has ended

    for number in signals:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves SIGHUP
            signal.signal(number, interrupt)
    sys.unraisablehook = again


def _host_trouble(error: OSError) -> Exception:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return OSError("The disk is full. Free some space, then run again: nothing was kept.")
    return error


def _failed(error: Exception, code: int) -> int:
    if "--debug" in sys.argv[1:]:
        raise error
    say(" ".join(filter(None, (f"Error: {error}", _notes(error)))))
    return code


def _notes(error: BaseException) -> str:
    """What was added to an error on its way: what is kept, say."""
    return " ".join(getattr(error, "__notes__", ()))
