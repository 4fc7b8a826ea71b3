"""Two ways to write child runs: through MLflow's client, and straight into a database's tables.

Both leave the same content behind; the second takes about a tenth of the time. Which one is used depends on
the scheme of the tracking URI alone (:data:`~harness.tracking.connection.DATABASE_SCHEMES`).
"""

from __future__ import annotations

import shutil
import uuid
import warnings
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any
from typing import Protocol

from harness.tracking.connection import DATABASE_SCHEMES
from harness.tracking.connection import scheme_of

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

    from harness.tracking.record import Point
    from harness.tracking.record import RunRecord

# MLflow's limits of one request.
_METRICS_PER_BATCH = 1000
_PARAMS_AND_TAGS_PER_BATCH = 100


class Writer(Protocol):
    """Writes finished runs."""

    def write(self, records: Sequence[RunRecord], parents: Mapping[str, str]) -> list[str]:
        """Write runs whole: after an error or a kill, none of them looks finished that is not.

        Args:
            records: The runs.
            parents: Group id to the run id of its parent.

        Returns:
            MLflow's run ids, in order.
        """


def make_writer(uri: str, client: MlflowClient, experiment: Experiment) -> Writer:
    """The fastest writer for a tracking URI."""
    if scheme_of(uri) in DATABASE_SCHEMES:
        if not (unknown := unknown_columns()):
            return DatabaseWriter(client, experiment)
        warnings.warn(
            f"this version of MLflow changed its tables ({', '.join(unknown)}); "
            "runs are logged through its client, which is slower.",
            stacklevel=2,
        )
    return ClientWriter(uri, client, experiment)


def child_tags(record: RunRecord, parent: str) -> dict[str, str]:
    """All tags of a child run."""
    return record.tags | {"mlflow.parentRunId": parent, "mlflow.runName": record.name}


class ClientWriter:
    """Writes through ``MlflowClient``, in as few requests as MLflow's limits allow."""

    def __init__(self, uri: str, client: MlflowClient, experiment: Experiment) -> None:
        self._uri = uri
        self._client = client
        self._experiment_id = experiment.experiment_id

    def write(self, records: Sequence[RunRecord], parents: Mapping[str, str]) -> list[str]:
        return [self._write(record, parents[record.ending.group_id]) for record in records]

    def _write(self, record: RunRecord, parent: str) -> str:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        run = self._client.create_run(
            self._experiment_id, start_time=record.started, tags=child_tags(record, parent)
        )
        run_id: str = run.info.run_id
        log_batches(self._client, run_id, record.params, record.points)
        # MlflowClient.log_artifact would ask for the run again to learn where its artifacts belong.
        repository: Any = get_artifact_repository(run.info.artifact_uri, tracking_uri=self._uri)
        for path in record.artifacts:
            repository.log_artifact(str(path))
        # Last, for this is what tells a run that was logged whole from one that was cut off.
        self._client.set_terminated(run_id, record.mlflow_status, end_time=record.ending.ended)
        return run_id


def log_batches(
    client: MlflowClient, run_id: str, params: Mapping[str, str], points: Sequence[Point]
) -> None:
    """Log parameters and metrics of any number."""
    from mlflow.entities import Metric
    from mlflow.entities import Param

    all_params = [Param(key, value) for key, value in params.items()]
    for start in range(0, len(all_params), _PARAMS_AND_TAGS_PER_BATCH):
        client.log_batch(run_id, params=all_params[start : start + _PARAMS_AND_TAGS_PER_BATCH])
    metrics = [Metric(*point) for point in points]
    for start in range(0, len(metrics), _METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=metrics[start : start + _METRICS_PER_BATCH])


#: The columns that :class:`DatabaseWriter` fills, by the name of MLflow's model.
COLUMNS: dict[str, frozenset[str]] = {
    "SqlRun": frozenset(
        {
            "run_uuid",
            "name",
            "source_type",
            "source_name",
            "entry_point_name",
            "user_id",
            "status",
            "start_time",
            "end_time",
            "deleted_time",
            "source_version",
            "lifecycle_stage",
            "artifact_uri",
            "experiment_id",
        }
    ),
    "SqlTag": frozenset({"key", "value", "run_uuid"}),
    "SqlParam": frozenset({"key", "value", "run_uuid"}),
    "SqlMetric": frozenset({"key", "value", "timestamp", "step", "is_nan", "run_uuid"}),
    "SqlLatestMetric": frozenset({"key", "value", "timestamp", "step", "is_nan", "run_uuid"}),
}


def unknown_columns() -> list[str]:
    """Columns in which the installed MLflow differs from :data:`COLUMNS`; empty when it is as expected."""
    from mlflow.store.tracking.dbmodels import models

    return sorted(
        f"{name}.{column}"
        for name, expected in COLUMNS.items()
        for column in expected.symmetric_difference(getattr(models, name).__table__.columns.keys())
    )


class DatabaseWriter:
    """Writes many runs in one transaction into the tables of MLflow's own models."""

    def __init__(self, client: MlflowClient, experiment: Experiment) -> None:
        self._store = client._tracking_client.store
        self._experiment = experiment

    def write(self, records: Sequence[RunRecord], parents: Mapping[str, str]) -> list[str]:
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
        run_ids = []
        for record in records:
            run_id = uuid.uuid4().hex
            artifact_uri = self._artifact_uri(run_id)
            # Before the rows: a kill in between leaves files that no run knows, not a run without files.
            self._keep_artifacts(record, artifact_uri)
            self._add_rows(rows, record, run_id, artifact_uri, parents[record.ending.group_id])
            run_ids.append(run_id)
        self._insert(rows)
        return run_ids

    def _artifact_uri(self, run_id: str) -> str:
        from mlflow.utils import uri

        append: Any = uri.append_to_uri_path
        return str(append(self._experiment.artifact_location, run_id, "artifacts"))

    def _keep_artifacts(self, record: RunRecord, artifact_uri: str) -> None:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
        from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

        repository: Any = get_artifact_repository(artifact_uri)
        if not isinstance(repository, LocalArtifactRepository):
            for path in record.artifacts:
                repository.log_artifact(str(path))
            return
        # Nobody can see the folder yet, so there is no need to make each file appear at once.
        folder = Path(repository.artifact_dir)
        folder.mkdir(parents=True)
        for path in record.artifacts:
            shutil.copyfile(path, folder / path.name)

    def _add_rows(
        self,
        rows: dict[str, list[dict[str, Any]]],
        record: RunRecord,
        run_id: str,
        artifact_uri: str,
        parent: str,
    ) -> None:
        rows["SqlRun"].append(
            {
                "run_uuid": run_id,
                "name": record.name,
                "source_type": "UNKNOWN",
                "source_name": "",
                "entry_point_name": "",
                "user_id": "unknown",
                "status": record.mlflow_status,
                "start_time": record.started,
                "end_time": record.ending.ended,
                "deleted_time": None,
                "source_version": "",
                "lifecycle_stage": "active",
                "artifact_uri": artifact_uri,
                "experiment_id": int(self._experiment.experiment_id),
            }
        )
        for model, texts in (("SqlTag", child_tags(record, parent)), ("SqlParam", record.params)):
            rows[model] += [{"key": k, "value": v, "run_uuid": run_id} for k, v in texts.items()]
        metrics = [self._metric(point, run_id) for point in record.points]
        rows["SqlMetric"] += metrics
        rows["SqlLatestMetric"] += {metric["key"]: metric for metric in metrics}.values()

    def _metric(self, point: Point, run_id: str) -> dict[str, Any]:
        is_nan, value = self._store.sanitize_metric_value(point.value)
        return {
            "key": point.key,
            "value": value,
            "timestamp": point.timestamp,
            "step": point.step,
            "is_nan": is_nan,
            "run_uuid": run_id,
        }

    def _insert(self, rows: Mapping[str, list[dict[str, Any]]]) -> None:
        from mlflow.store.tracking.dbmodels import models

        with self._store.ManagedSessionMaker(read_only=False) as session:
            connection = session.connection()
            # In the order of COLUMNS: the others refer to the run.
            for name, values in rows.items():
                if values:
                    connection.execute(getattr(models, name).__table__.insert(), values)
