"""Traffic on road networks: official data sets that were imported, and a synthetic one that is always there."""

from harness.traffic.library import TrafficSetStatus
from harness.traffic.library import load_traffic
from harness.traffic.library import status
from harness.traffic.trafficset import STEPS_PER_DAY
from harness.traffic.trafficset import TrafficSet

__all__ = ["STEPS_PER_DAY", "TrafficSet", "TrafficSetStatus", "load_traffic", "status"]
