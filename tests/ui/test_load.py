"""Visitors at once, in small: what `benchmarks/load.py` does with thirty and the real model."""

import statistics
from pathlib import Path

from benchmarks.load import put_under_load
from tests.ui.served import served_page

NUM_VISITORS, JOBS_EACH = 6, 2


def test_jobs_handed_in_at_once_are_neither_lost_nor_mixed_up_nor_out_of_order(
    tmp_path: Path,
) -> None:
    with served_page(tmp_path) as (url, desk):
        found = put_under_load(url, desk.store, NUM_VISITORS, JOBS_EACH, patience=120.0)
        assert (found.lost, found.mixed_up, found.out_of_order, found.twice) == (0, 0, 0, 0)
        # One more is the visitor's who watches meanwhile.
        assert desk.store.census().states == {"done": NUM_VISITORS * JOBS_EACH + 1}
        assert statistics.median(found.page_ms) > 0.0
