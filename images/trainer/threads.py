"""To be imported before numpy and torch: threads that wait must sleep, but not at once.

A thread that spins burns the very CPU quota that the working thread needs: with libgomp's default
(300,000 turns) a training on a busy host took five times as long and three times as much CPU. One
that sleeps at once is woken 70 times in a step of a small network, which took a fifth longer. So
both spin about as long as falling asleep and being woken takes.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch: at once where CPUs are too few
os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # and elsewhere after some 0.1 ms
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")  # numpy: 2^16 cycles, not 2^26
