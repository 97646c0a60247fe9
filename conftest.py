"""One thread a process and no network, for every test and every process that a test starts.

Set before torch is first imported, which reads them then; torch itself is not imported here, so that tests which do not
need it start at once.
"""

from __future__ import annotations

import os

# A lane is bit-equal to itself on one thread only, and two xdist workers would otherwise fight over the cores.
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
