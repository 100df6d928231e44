"""The ledger's tables, and what makes those of an older file into them."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from evaluator.ledger_rows import RunState, SubmissionState

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 4
"""PRAGMA user_version: what another version of this program would count differently.

3 kept no sums, 2 knew no log and no prices, 1 had one table, of bits. 0 is a file that was just
made.
"""


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


SCHEMA = (
    """
CREATE TABLE vendors (
    name TEXT PRIMARY KEY CHECK (
        length(name) BETWEEN 1 AND 63
        AND name NOT GLOB '*[^a-z0-9-]*' AND name NOT GLOB '-*'
    ),
    added TEXT NOT NULL,
    submissions INTEGER CHECK (submissions >= 0),
    per_day INTEGER CHECK (per_day >= 0),
    micro_petaflops INTEGER CHECK (micro_petaflops >= 0),
    fee_cents INTEGER CHECK (fee_cents >= 0)
) STRICT
""",
    # AUTOINCREMENT: a number is given once. Order is by these numbers, never by a clock.
    f"""
CREATE TABLE submissions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    vendor TEXT NOT NULL REFERENCES vendors,
    phases TEXT NOT NULL CHECK (phases IN ('baseline', 'both')),
    kind TEXT CHECK (kind IN ('onnx', 'image')),
    digest_of TEXT CHECK (digest_of IN ('file', 'manifest', 'config')),
    sha256 TEXT CHECK (length(sha256) = 64 AND sha256 NOT GLOB '*[^0-9a-f]*'),
    size INTEGER CHECK (size >= 0),
    content TEXT,
    recipe BLOB,
    received TEXT NOT NULL,
    day TEXT NOT NULL CHECK (day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
    state TEXT NOT NULL CHECK (state IN ({_words(get_args(SubmissionState))})),
    reason TEXT NOT NULL DEFAULT '',
    ended TEXT NOT NULL DEFAULT '',
    CHECK ((reason <> '') = (state = 'aborted')),
    CHECK ((ended <> '') = (state IN ('done', 'refused', 'aborted'))),
    CHECK (
        state IN ('receiving', 'aborted')
        OR (
            kind IS NOT NULL AND digest_of IS NOT NULL AND sha256 IS NOT NULL
            AND size IS NOT NULL AND content IS NOT NULL
        )
    )
) STRICT
""",
    # What is set aside and what is charged are never both there: a sum of all three counts a run
    # once, and an aborted one not at all.
    f"""
CREATE TABLE runs (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL UNIQUE CHECK (length(run) = 16 AND run NOT GLOB '*[^0-9a-f]*'),
    submission INTEGER UNIQUE REFERENCES submissions,
    vendor TEXT NOT NULL REFERENCES vendors,
    dataset_version INTEGER NOT NULL CHECK (dataset_version >= 1),
    state TEXT NOT NULL CHECK (state IN ({_words(get_args(RunState))})),
    tenths INTEGER NOT NULL CHECK (tenths >= 0),
    micro_reserved INTEGER NOT NULL DEFAULT 0 CHECK (micro_reserved >= 0),
    micro_baseline INTEGER NOT NULL DEFAULT 0 CHECK (micro_baseline >= 0),
    micro_tuned INTEGER NOT NULL DEFAULT 0 CHECK (micro_tuned >= 0),
    fee_cents INTEGER NOT NULL DEFAULT 0 CHECK (fee_cents >= 0),
    baseline_status TEXT,
    tuned_status TEXT,
    day TEXT NOT NULL CHECK (day GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
    started TEXT NOT NULL,
    ended TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '',
    CHECK (state = 'reserved' OR micro_reserved = 0),
    CHECK (state IN ('settled', 'released') OR micro_baseline + micro_tuned + fee_cents = 0),
    CHECK (state <> 'aborted' OR tenths = 0),
    CHECK ((ended = '') = (state = 'reserved')),
    CHECK ((reason <> '') = (state = 'aborted'))
) STRICT
""",
    "CREATE INDEX submissions_of_vendor ON submissions (vendor, day, state)",
    "CREATE INDEX submissions_in_state ON submissions (state) WHERE state <> 'done'",
    "CREATE INDEX runs_of_vendor ON runs (vendor, sequence)",
    "CREATE INDEX open_runs ON runs (vendor) WHERE state IN ('reserved', 'settled')",
)

# What of the log is known here, by `Entry.name`; the log itself is the truth, and fills this anew.
TO_3 = (
    "ALTER TABLE vendors ADD COLUMN price TEXT CHECK (price GLOB '[0-9]*')",
    "CREATE TABLE logged (name TEXT PRIMARY KEY, position INTEGER NOT NULL) STRICT",
    "CREATE INDEX logged_at ON logged (position)",
)

# A row that was still reserved may have been settled too (format 1 did not tell): as settled it
# can be released where its signed file is there, and be aborted where it is not.
_FROM_1 = (
    *SCHEMA,
    """
INSERT INTO vendors (name, added)
SELECT vendor, MIN(time) FROM leakage GROUP BY vendor ORDER BY MIN(rowid)
""",
    """
INSERT INTO runs (run, vendor, dataset_version, state, tenths, day, started, ended)
SELECT run, vendor, dataset_version, iif(state = 'reserved', 'settled', state), tenths,
    substr(time, 1, 10), time, time
FROM leakage ORDER BY rowid
""",
    "DROP TABLE leakage",
)
# What makes a submission cost the same however many there were. Each follows from the rows above,
# in the transaction that writes them and whoever writes them, so nothing can come between.
_TO_4 = (
    # The bits of all runs in each state.
    """
CREATE TABLE sums (
    state TEXT PRIMARY KEY, tenths INTEGER NOT NULL DEFAULT 0 CHECK (tenths >= 0)
) STRICT
""",
    *(f"INSERT INTO sums (state) VALUES ('{state}')" for state in get_args(RunState)),  # noqa: S608 - words of ours
    """
UPDATE sums SET tenths = found.tenths
FROM (SELECT state, SUM(tenths) AS tenths FROM runs GROUP BY state) AS found
WHERE found.state = sums.state
""",
    """
CREATE TRIGGER run_added AFTER INSERT ON runs BEGIN
    UPDATE sums SET tenths = tenths + new.tenths WHERE state = new.state;
END
""",
    """
CREATE TRIGGER run_changed AFTER UPDATE OF state, tenths ON runs BEGIN
    UPDATE sums SET tenths = tenths - old.tenths WHERE state = old.state;
    UPDATE sums SET tenths = tenths + new.tenths WHERE state = new.state;
END
""",
    # What lies in results/VENDOR, when last all of it had a row, by the folder's times.
    "CREATE TABLE compared (vendor TEXT PRIMARY KEY, folder TEXT NOT NULL) STRICT",
    """
CREATE TRIGGER run_removed AFTER DELETE ON runs BEGIN
    UPDATE sums SET tenths = tenths - old.tenths WHERE state = old.state;
    DELETE FROM compared WHERE vendor = old.vendor;
END
""",
    # What the log has received and whose end it has not: few, of all that it has. `due` is when a
    # result may leave, as it says itself; NULL where there is none yet, or only the file knows.
    """
CREATE TABLE awaited (
    position INTEGER PRIMARY KEY, received TEXT NOT NULL UNIQUE, due TEXT
) STRICT
""",
    """
INSERT INTO awaited (position, received)
SELECT position, substr(name, 10) FROM logged WHERE name GLOB 'received/*'
AND NOT EXISTS (SELECT 1 FROM logged AS ends WHERE ends.name = 'end/' || logged.position)
""",
    """
CREATE TRIGGER received_logged AFTER INSERT ON logged WHEN new.name GLOB 'received/*' BEGIN
    INSERT OR IGNORE INTO awaited (position, received) VALUES (new.position, substr(new.name, 10));
END
""",
    """
CREATE TRIGGER end_logged AFTER INSERT ON logged WHEN new.name GLOB 'end/*' BEGIN
    DELETE FROM awaited WHERE position = CAST(substr(new.name, 5) AS INTEGER);
END
""",
)
_FROM_2 = (*TO_3, *_TO_4)
STEPS = {0: (*SCHEMA, *_FROM_2), 1: (*_FROM_1, *_FROM_2), 2: _FROM_2, 3: _TO_4}
"""What makes a file of each earlier format one of this."""
