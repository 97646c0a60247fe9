"""What updates beyond the first train on, and whether the order of a stream costs anything against i.i.d. training.

The paper: the same setting in the order of a stream is 3 to 8 points below i.i.d. training for FT, and as good for
ICL+FT (Table 4). I.i.d. training makes as many updates, and gives no honest score on the way.
"""

from __future__ import annotations

from dataclasses import replace

from fewfit.suites.studies.study import BOTH, TUNED, Compared, Study, one

STUDY = Study(
    "replay",
    "What should be trained on again, and does the order of a stream cost anything?",
    (
        one("ft", TUNED),
        one("ft-iid", TUNED, again=True),
        one("icl+ft", BOTH),
        one("icl+ft-iid", BOTH, again=True),
        one("ft-uniform", replace(TUNED, replay="uniform")),
        one("ft-newest", replace(TUNED, replay="newest")),
        one("icl+ft-uniform", replace(BOTH, replay="uniform")),
        one("icl+ft-newest", replace(BOTH, replay="newest")),
        # As many answers an update as ICL+FT of four shots sees.
        one("ft-batch-5", replace(TUNED, batch=5)),
    ),
    (
        Compared("ft", ("ft-iid",)),
        Compared("icl+ft", ("icl+ft-iid",)),
        Compared("ft", ("ft-uniform",)),
        Compared("ft", ("ft-newest",)),
        Compared("icl+ft", ("icl+ft-uniform",)),
        Compared("icl+ft", ("icl+ft-newest",)),
        Compared("icl+ft", ("ft-batch-5",)),
    ),
)
