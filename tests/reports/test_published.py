"""Numbers of papers beside ours."""

from __future__ import annotations

from harness import registry
from reports import published
from tests.harness.command import harness

# The best cell of the space on each data set (NAS-Bench-201, Table 4: validation and test after 200 epochs).
OPTIMA = {"cifar10": (91.61, 94.37), "cifar100": (73.49, 73.51), "ImageNet16-120": (46.77, 47.31)}

YAML = """\
tracking: {uri: null}
sweeps:
  s:
    benchmarks:
      - name: proxy
        proxy: [synflow, snip]
        dataset: cifar10
        settings: {images: digits, batch_size: 4, size: {channels: 4, cells: 1}}
    strategies: [random_search]
    seeds: 1
    budget: {trials: 2}
"""


def test_searches_are_on_our_proxies_and_below_the_optimum():
    searches = published.rz_nas_searches()
    assert searches.results.keys() == OPTIMA.keys()
    for dataset, (valid, test) in OPTIMA.items():
        found = searches.results[dataset]
        assert set(found) == {"grasp", "grad_norm", "synflow", "zen", "zico"} <= set(registry.names("proxy"))
        for on in found.values():
            assert all(
                splits.valid.mean <= valid and splits.test.mean <= test for splits in (on.alone, on.mutated)
            )
            # What the paper claims of validation on every proxy.
            assert on.alone.valid.mean < on.mutated.valid.mean


def test_of_what_nothing_was_reported_nothing_is_known():
    searches = published.rz_nas_searches()
    assert searches.on("nasbench201", "cifar10", "snip") is None
    assert searches.on("nasbench201", "svhn", "zico") is None
    assert searches.on("darts", "cifar10", "zico") is None


def test_a_report_of_searches_on_a_proxy_names_them(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "experiments.yaml").write_text(YAML)
    harness("run", cwd=tmp_path)
    page = (tmp_path / "results/s/report/report.html").read_text()
    assert page.count("with settings of its own") == 1
    assert "has 91.03 ± 0.44 % validation and 93.48 ± 0.00 % test on this proxy alone" in page
    assert "91.45 ± 0.42 % validation and 93.47 ± 0.74 % test with a language model&#39;s mutations" in page
