"""The one interface of all strategies: an Optuna sampler that proposes architectures."""

from __future__ import annotations

import threading
import warnings
import weakref
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar

from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.samplers import RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import TrialState

from harness import seeding
from harness.history import Exhausted
from harness.history import Failure
from harness.history import History
from harness.history import Proposal
from harness.history import Trial
from harness.models import Models
from harness.spaces import Architecture
from harness.spaces import SearchSpace
from harness.task import Task

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.study import Study
    from optuna.trial import FrozenTrial

ATTRIBUTES = "harness:attributes"
PROBLEM = "harness:problem"
MEASURES = "harness:measures"


class Strategy(BaseSampler):
    """A sampler that proposes architectures.

    A strategy writes :meth:`propose` and takes its hyper-parameters as keyword arguments whose defaults are
    its paper's. It is a pure function of the history: what it must remember goes into the attributes of its
    :class:`~harness.history.Proposal`, and what it learns is rebuilt with
    :meth:`~harness.history.History.fold`. So a run that was killed goes on as if nothing had happened, and
    pickling needs no care.

    It works in a bare ``optuna.create_study(sampler=...)``. There, categorical parameters form the search
    space; parameters of other kinds are drawn uniformly.

    Args:
        space: The search space. ``None`` takes the categorical parameters that the study's trials share.
        seed: Seed of all random choices; ``None`` draws one from the operating system.
    """

    #: Whether :meth:`pruner` stops trials at low fidelities, so that the benchmark must offer several.
    multi_fidelity: ClassVar[bool] = False
    #: Whether scores decide what it proposes or recommends. Where they do not, the evaluations of a run are made for
    #: its report, and cost the run nothing: the method needs none.
    uses_scores: ClassVar[bool] = True
    #: Keyword arguments that name an entry of ``models`` in ``experiments.yaml``. One whose default is ``None``
    #: may be left out.
    model_parameters: ClassVar[tuple[str, ...]] = ()

    def __init__(self, *, space: SearchSpace | None = None, seed: int | None = None) -> None:
        self.space = space
        #: What the search is about; nothing of it is known in a bare Optuna study.
        self.task = Task()
        self._entropy = seeding.fresh_entropy() if seed is None else seed
        self._intersection = IntersectionSearchSpace()
        self._views: weakref.WeakKeyDictionary[Study, _StudyView] = weakref.WeakKeyDictionary()
        self._lock = threading.RLock()

    # What a strategy writes.

    @abstractmethod
    def propose(self, history: History) -> Architecture | Proposal:
        """Propose the next architecture.

        Raises:
            Exhausted: There is nothing more to propose.
            Finished: The strategy's own rules end the search.
        """

    def recommend(self, history: History) -> Architecture:
        """The architecture that the run returns in the end: by default the best by validation."""
        return history.best.architecture

    def pruner(self, fidelities: tuple[int, ...]) -> BasePruner | None:
        """What stops trials at low fidelities; ``None`` evaluates every trial at the highest alone."""
        return None

    def check(self, space: SearchSpace, dataset: str) -> None:
        """Refuse what can never run on a benchmark, before anything runs; most strategies run on any.

        Args:
            space: The benchmark's search space.
            dataset: Its data set.

        Raises:
            SpecError: Says what is missing.
        """

    def digest(self, space: SearchSpace, dataset: str) -> str | None:
        """Identifies data that decide proposals and that no argument names by content, such as an image set.

        A results folder is tied to it, as to the data of the benchmark. Most strategies read none.

        Args:
            space: The benchmark's search space.
            dataset: Its data set.
        """
        return None

    def connect(self, task: Task, models: Models) -> None:
        """Take what is known only when the run starts: what the search is about, and where models answer."""
        self.task = task

    # Optuna's side.

    def ask(self, study: Study, trial: FrozenTrial, space: SearchSpace) -> Proposal:
        """Propose for a trial of a study; the engine's and Optuna's calls both come through here.

        Raises:
            Exhausted: There is nothing more to propose.
            Finished: The strategy's own rules end the search.
        """
        # Optuna's own samplers read the trials through a cache that only Study.ask renews; the engine does without.
        study._thread_local.cached_all_trials = None
        # One proposal at a time: the states of History.fold are changed in place.
        with self._lock:
            history = self._view(study, space).history(
                self._entropy, "proposal", trial.number, asked=(study, trial)
            )
            proposal = self.propose(history)
        return proposal if isinstance(proposal, Proposal) else Proposal(proposal)

    def history(self, study: Study, space: SearchSpace) -> History:
        """The finished trials of a study, as :meth:`propose` and :meth:`recommend` see them."""
        return self._view(study, space).history(self._entropy, "recommendation", 0)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        if self.space is not None:
            return dict(self.space.distributions)
        shared = self._intersection.calculate(study)
        return {
            name: distribution
            for name, distribution in shared.items()
            if isinstance(distribution, CategoricalDistribution) and not distribution.single()
        }

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        self._raise_error_if_multi_objective(study)
        categorical = {name: d for name, d in search_space.items() if isinstance(d, CategoricalDistribution)}
        params = {
            name: self.sample_independent(study, trial, name, distribution)
            for name, distribution in search_space.items()
            if name not in categorical
        }
        if not categorical:
            return params
        space = self._space_of(categorical)
        try:
            proposal = self.ask(study, trial, space)
        except Exhausted as end:
            # A bare study has a number of trials to make. As with Optuna's GridSampler, it goes on.
            warnings.warn(f"{type(self).__name__}: {end} Drawing uniformly from here on.", stacklevel=2)
            proposal = Proposal(space.random(seeding.generator(self._entropy, "exhausted", trial.number)))
        if proposal.attributes:
            study._storage.set_trial_system_attr(trial._trial_id, ATTRIBUTES, dict(proposal.attributes))
        return params | space.params(proposal.architecture)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        self._raise_error_if_multi_objective(study)
        seed = seeding.integer(self._entropy, "independent", trial.number, param_name)
        return RandomSampler(seed=seed).sample_independent(study, trial, param_name, param_distribution)

    def reseed_rng(self) -> None:
        self._entropy = seeding.fresh_entropy()

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        del state["_views"], state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._views = weakref.WeakKeyDictionary()
        self._lock = threading.RLock()

    def _space_of(self, categorical: Mapping[str, CategoricalDistribution]) -> SearchSpace:
        if self.space is not None and categorical.keys() == self.space.distributions.keys():
            return self.space
        return SearchSpace({name: d.choices for name, d in categorical.items()})

    def _view(self, study: Study, space: SearchSpace) -> _StudyView:
        with self._lock:
            view = self._views.get(study)
            if view is None or view.space.decisions != space.decisions:
                view = self._views[study] = _StudyView(space)
            view.update(study)
            return view


class _StudyView:
    """The trials of one study, converted once each, as a history."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self._trials: list[Trial] = []
        self._failures: list[Failure] = []
        self._seen: set[Architecture] = set()
        self._taken: set[int] = set()
        self._all_taken_below = 0
        self._folds: dict[object, Any] = {}

    def update(self, study: Study) -> None:
        sign = 1.0 if study.direction == StudyDirection.MAXIMIZE else -1.0
        # Not Optuna's cached list: it is as old as the last Study.ask, which the engine never calls.
        trials = study.get_trials(deepcopy=False)
        in_order = True
        for frozen in trials[self._all_taken_below :]:
            if not frozen.state.is_finished() or frozen.number in self._taken:
                continue
            self._taken.add(frozen.number)
            if not self.space.decisions.keys() <= frozen.params.keys():
                continue
            arch = self.space.architecture({n: frozen.params[n] for n in self.space.decisions})
            self._seen.add(arch)
            attributes = frozen.system_attrs.get(ATTRIBUTES, {})
            if frozen.state == TrialState.FAIL:
                problem = frozen.system_attrs.get(PROBLEM, "the trial failed.")
                self._failures.append(Failure(frozen.number, arch, problem, attributes))
            if frozen.state == TrialState.COMPLETE and frozen.value is not None:
                measures = frozen.system_attrs.get(MEASURES, {})
                trial = Trial(frozen.number, arch, sign * frozen.value, frozen.value, attributes, measures)
                in_order &= not self._trials or self._trials[-1].number < trial.number
                self._trials.append(trial)
        if not in_order:
            self._trials.sort(key=lambda trial: trial.number)
        self._failures.sort(key=lambda failure: failure.number)
        while self._all_taken_below in self._taken:
            self._taken.remove(self._all_taken_below)
            self._all_taken_below += 1

    def history(
        self,
        entropy: int,
        purpose: str,
        number: int,
        asked: tuple[Study, FrozenTrial] | None = None,
    ) -> History:
        return History(
            self.space,
            # A copy, for other threads of the study may append while this proposal is made.
            self._trials.copy(),
            failures=self._failures.copy(),
            number=number,
            seen=self._seen,
            make_rng=lambda: seeding.generator(entropy, purpose, number),
            folds=self._folds,
            asked=asked,
        )
