"""To be imported before numpy and torch: threads that wait must sleep.

By default they spin, which burns the very CPU quota that the working thread needs: on a busy host
a training took five times as long and three times as much CPU.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")  # numpy: 2^16 cycles, not 2^26
