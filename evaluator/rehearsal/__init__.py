"""A rehearsal: the official flow, word for word, on tiles that were made up.

    rehearse(submission, challenge, asked, say, gpus)   everything that was seen, as Facts

synthetic   tiles of the challenge's shape, sealed like an owner's
place       a folder for one rehearsal at a time on this host, and what killed ones left
attempt     what is asked for, and the run that it becomes
machine     the steps of a run, each noted: what it used, printed and wrote
estimates   the same on the owner's number of tiles
by_hand     the line that repeats a step

What `validate` answers is what `run` answers because the same code answers it: intake, rules, wall,
both verbs. It differs in the tiles, in their number, and in that the vendor sees its own log.
"""

from evaluator.rehearsal.attempt import Asked, Rehearsal, rehearse

__all__ = ["Asked", "Rehearsal", "rehearse"]
