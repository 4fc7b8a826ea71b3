"""Zero-cost proxies: what one is, and the tables that keep their scores. The proxies themselves are plug-ins."""

from harness.proxies.base import Proxy
from harness.proxies.base import ProxyScore
from harness.proxies.base import make_proxy
from harness.proxies.scorer import score_all
from harness.proxies.table import ScoreTable
from harness.proxies.table import score_digest

__all__ = ["Proxy", "ProxyScore", "ScoreTable", "make_proxy", "score_all", "score_digest"]
