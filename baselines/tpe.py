"""Tree-structured Parzen estimator."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from optuna.samplers import TPESampler

from harness import seeding
from harness.errors import SpecError
from harness.strategy import Strategy

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial

    from harness.history import History
    from harness.spaces import Architecture
    from harness.spaces import SearchSpace


class TPE(Strategy):
    """Optuna's multivariate tree-structured Parzen estimator (Bergstra et al. 2011; Watanabe 2023).

    This is ``optuna.samplers.TPESampler`` with its defaults, made a pure function of the trials so far:
    every proposal comes from a new sampler that is seeded by the run's seed and the trial's number. A run
    thus differs from one of ``TPESampler(seed=...)``, which draws from one stream, but is distributed
    alike, and can be resumed exactly. What else differs:

    - Running trials are not taken into account (``constant_liar=False``): what has been asked but not yet
      told depends on timing. With one trial at a time, as in a run of the harness, this changes nothing.
    - In a bare study, parameters that are not categorical are drawn one by one, each by TPE.

    Args:
        n_startup_trials: Number of trials drawn at random at first.
        n_ei_candidates: Number of candidates among which the expected improvement is maximised.
        multivariate: Whether decisions are modelled jointly; ``False`` models each on its own.
        space: See :class:`~harness.strategy.Strategy`.
        seed: See :class:`~harness.strategy.Strategy`.
    """

    def __init__(
        self,
        *,
        n_startup_trials: int = 10,
        n_ei_candidates: int = 24,
        multivariate: bool = True,
        space: SearchSpace | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(space=space, seed=seed)
        if n_startup_trials < 0 or n_ei_candidates < 1:
            raise SpecError(
                f"n_startup_trials must be at least 0 and n_ei_candidates at least 1, not {n_startup_trials} and "
                f"{n_ei_candidates}."
            )
        self.n_startup_trials = n_startup_trials
        self.n_ei_candidates = n_ei_candidates
        self.multivariate = multivariate

    def propose(self, history: History) -> Architecture:
        assert history.asked is not None
        study, trial = history.asked
        sampler = self._sampler(trial)
        distributions: dict[str, BaseDistribution] = dict(history.space.distributions)
        # Empty during start-up, and of all decisions but those with a single choice after it.
        params = sampler.sample_relative(study, trial, distributions) if self.multivariate else {}
        for name, distribution in distributions.items():
            if name not in params:
                params[name] = sampler.sample_independent(study, trial, name, distribution)
        return history.space.architecture(params)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        self._raise_error_if_multi_objective(study)
        return self._sampler(trial, param_name).sample_independent(
            study, trial, param_name, param_distribution
        )

    def _sampler(self, trial: FrozenTrial, *path: str) -> TPESampler:
        return TPESampler(
            n_startup_trials=self.n_startup_trials,
            n_ei_candidates=self.n_ei_candidates,
            multivariate=self.multivariate,
            constant_liar=False,
            seed=seeding.integer(self._entropy, "tpe", trial.number, *path),
        )
