"""MLflow: an experiment and a run per sweep, below it a run per strategy and benchmark, below that one per seed.

A ranking is one parent run, with a child run per benchmark and scorer.

Runs are logged from their folders on disk, so it can be done at once or at any time later; the results
folder stays the one source of truth. Importing this package does not import MLflow.
"""

from harness.tracking.fetch import Fetched
from harness.tracking.fetch import fetch_sweep
from harness.tracking.ranking import track_ranking
from harness.tracking.summary import TrackSummary
from harness.tracking.summary import track_results
from harness.tracking.sweep_run import track_sweep
from harness.tracking.tracker import Tracker

__all__ = [
    "Fetched",
    "TrackSummary",
    "Tracker",
    "fetch_sweep",
    "track_ranking",
    "track_results",
    "track_sweep",
]
