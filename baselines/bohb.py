"""BOHB: Hyperband with a model."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import ClassVar

from optuna.pruners import HyperbandPruner

from baselines.tpe import TPE
from harness.errors import SpecError

if TYPE_CHECKING:
    from harness.spaces import SearchSpace


class BOHB(TPE):
    """TPE that proposes and Hyperband that stops, both Optuna's, in the spirit of BOHB (Falkner et al. 2018).

    Every trial is evaluated at the lowest fidelity first. Hyperband's bracket of the trial decides whether it
    goes on; a stopped trial enters the model with the score it had. A trial pays for every fidelity it was
    evaluated at, because a schedule of 12 epochs is not the beginning of one of 200. Only trials that reached
    the highest fidelity can be recommended.

    How this differs from BOHB as Falkner et al. describe it:

    - Their Hyperband runs brackets one after another and promotes the best third of a rung when the rung is
      full. Optuna's assigns each trial to a bracket by a hash of study name and trial number, and decides at
      once, from the trials the rung has had so far (as ASHA does, Li et al. 2020): the first trials of a rung
      are promoted too easily.
    - Their brackets with little early stopping start at a higher fidelity. Here they too pay for the lowest.
    - Their model is a kernel density per fidelity, the highest with enough observations being used. Optuna's
      is one TPE over all trials, finished ones ranked before stopped ones, those that got further first. It
      takes the trials of all brackets, as theirs does and as Optuna 5.0's ``TPESampler`` does under
      Hyperband. (Its documentation says that the sampler sees one bracket only, which earlier releases did.)
    - They draw a third of the proposals at random. Here the first ``n_startup_trials`` are.

    How the runs published for NAS-Bench-201 (Dong & Yang 2020, section 5) differ: their script evaluates 200
    epochs whatever the budget that BOHB asks for, so that its multi-fidelity is nominal; it draws 4 samples
    per proposal, none at random, with a bandwidth factor of 3 and a least bandwidth of 0.3. The script of
    NATS-Bench (Dong et al. 2021) takes budgets from 1 to 12 epochs.

    A benchmark with a single fidelity has nothing to stop at, and is refused.

    Args:
        reduction_factor: Hyperband's eta: of a rung, one in so many goes on.
        n_startup_trials: Number of trials drawn at random at first.
        n_ei_candidates: Number of candidates among which the expected improvement is maximised.
        multivariate: Whether decisions are modelled jointly; ``False`` models each on its own.
        space: See :class:`~harness.strategy.Strategy`.
        seed: See :class:`~harness.strategy.Strategy`.

    Raises:
        SpecError: ``reduction_factor`` is below 2.
    """

    multi_fidelity: ClassVar[bool] = True

    def __init__(
        self,
        *,
        reduction_factor: int = 3,
        n_startup_trials: int = 10,
        n_ei_candidates: int = 24,
        multivariate: bool = True,
        space: SearchSpace | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(
            n_startup_trials=n_startup_trials,
            n_ei_candidates=n_ei_candidates,
            multivariate=multivariate,
            space=space,
            seed=seed,
        )
        if reduction_factor < 2:
            raise SpecError(f"reduction_factor must be at least 2, not {reduction_factor}.")
        self.reduction_factor = reduction_factor

    def pruner(self, fidelities: tuple[int, ...]) -> HyperbandPruner:
        return HyperbandPruner(
            min_resource=min(fidelities),
            max_resource=max(fidelities),
            reduction_factor=self.reduction_factor,
        )
