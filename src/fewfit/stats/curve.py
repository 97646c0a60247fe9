"""Is a lane still rising?"""

from __future__ import annotations

import numpy as np

from fewfit.stats.stream import Floats, Ints

ROWS_IN_A_THIRD = 3  # with fewer there is no standard error to speak of


def is_rising(score_R: Floats, place_R: Ints, example_R: Ints) -> bool:
    """Whether the last third's mean is above the middle third's by more than one standard error.

    One is little: a lane that stands still is called rising in one case of six. That is meant, since the flag only
    takes back claims ("so far", "likely to be better than this"). Rows of one example count as one, in whichever third
    they stand.
    """
    places = int(place_R.max()) if place_R.size else 0
    last_R = place_R > places - places // 3
    middle_R = (place_R > places - 2 * (places // 3)) & ~last_R
    if min(last_R.sum(), middle_R.sum()) < ROWS_IN_A_THIRD:
        return False
    last, middle = score_R[last_R], score_R[middle_R]
    share_R = np.zeros_like(score_R)
    share_R[last_R] = (last - last.mean()) / len(last)
    share_R[middle_R] = -(middle - middle.mean()) / len(middle)
    error = float(np.sqrt(np.square(np.bincount(example_R, share_R)).sum()))
    return float(last.mean() - middle.mean()) > error + 1e-9  # equal scores may differ by rounding
