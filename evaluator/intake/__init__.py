"""A submitted image, rebuilt and never trusted.

The engine merges an image's settings into every container, obeys the tags in an archive,
and takes its own layer for any digest that it knows. So a submitted archive never reaches
it. A confined child process (`worker`) reads the archive and writes every layer anew; this
process (`door`) hashes what came out, puts it under settings from an allow-list, and gives
the engine that.

    archive    the one image of a docker or OCI archive: where its layers lie
    streams    bytes in order: hashed, unpacked, counted against the budgets
    tarstream  the headers of a hostile tar, one at a time
    layers     one layer written anew: what is dropped, what is refused
    pieces     where the bytes of such a layer are
    view       what stands at a path once all layers lie over each other
    marks      counts and settings as handed in, for a rehearsal alone
    worker     the child: confined first, then all of the above
    door       the parent: starts the child and believes none of it
    handed     the same, as the parent takes it, and the facts made of it
    refusals   a sentence for each rule
"""
