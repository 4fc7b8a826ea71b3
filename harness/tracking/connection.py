"""A connection to a tracking server that answers soon or fails soon."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from harness.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment
    from mlflow.entities import Run
    from sqlalchemy import Engine

#: URI schemes whose store is a database that this process writes to itself.
DATABASE_SCHEMES = ("sqlite", "postgresql", "mysql")

_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # A line or two for each run, and a bar for each file.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # MLflow's own defaults wait for a server that is down for more than ten minutes.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}
_CONNECT_SECONDS = 10
_PAGE = 1000
# What these would print is in the TrackingError, or is no news.
_QUIET = {
    "alembic": logging.WARNING,
    "mlflow.store.db.utils": logging.CRITICAL,
    "urllib3.connectionpool": logging.ERROR,
}


def scheme_of(uri: str) -> str:
    """Scheme of a tracking URI, without the driver: ``postgresql`` of ``postgresql+psycopg://...``."""
    scheme, colon, _ = uri.partition(":")
    return scheme.partition("+")[0].lower() if colon else ""


def connect(uri: str, *, existing: bool = False) -> MlflowClient:
    """A client of the tracking server; its tables are made where they do not exist yet.

    Environment variables of MLflow that the user has set are left as they are.

    Args:
        uri: Any tracking URI of MLflow.
        existing: Make nothing: what is not MLflow's already is an error.

    Raises:
        TrackingError: The server cannot be reached, is none, or would forget everything.
    """
    _refuse_what_forgets(uri)
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    with tracking_errors(uri):
        if existing:
            _refuse_what_is_none(uri)
        elif scheme_of(uri) in DATABASE_SCHEMES:
            _probe_database(uri)
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def open_experiment(client: MlflowClient, uri: str, name: str) -> Experiment:
    """The experiment of a name, made where it is missing.

    Raises:
        TrackingError: It was deleted.
        mlflow.exceptions.MlflowException: The tracking server cannot be used.
    """
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        root = artifact_root(uri)
        location = (root / name).as_uri() if root else None
        try:
            experiment_id = client.create_experiment(name, location)
        except MlflowException:
            # Another process may have been faster.
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
        else:
            experiment = client.get_experiment(experiment_id)
    if experiment.lifecycle_stage != "active":
        raise TrackingError(
            f"MLflow's experiment {name!r} was deleted. `mlflow experiments restore "
            f"-x {experiment.experiment_id}` brings it back, `mlflow gc` removes it for good; "
            "or give the sweep another name."
        )
    return experiment


def search_all(client: MlflowClient, experiments: list[str], filter_string: str = "") -> list[Run]:
    """All runs of experiments that fit a filter, page by page; deleted ones are left out."""
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs(experiments, filter_string, max_results=_PAGE, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


@contextmanager
def tracking_errors(uri: str) -> Iterator[None]:
    """Turn what MLflow, its database and its HTTP client raise into a :class:`TrackingError`."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError) as error:
        text = f"MLflow at {uri}: {_first_line(error)}"
        raise TrackingError(text.replace(_password(uri) or "\0", "***")) from error


def artifact_root(uri: str) -> Path | None:
    """Where artifacts belong: beside an SQLite database; for other servers it is theirs to say."""
    if scheme_of(uri) != "sqlite":
        return None
    path = _sqlite_path(uri)
    return path.parent / "mlartifacts" if path else None


def _refuse_what_forgets(uri: str) -> None:
    """Refuse what MLflow would take for a database in memory, or for a place of its own choice."""
    if uri.strip() and scheme_of(uri) != "sqlite":
        return
    with tracking_errors(uri):
        lasting = bool(uri.strip()) and _sqlite_path(uri) is not None
    if not lasting:
        raise TrackingError(
            f"The tracking URI {uri!r} names no file or server, so that nothing would be kept. "
            "Give one, e.g. sqlite:///mlflow.db, or track nothing with null or --no-track."
        )


def _probe_database(uri: str) -> None:
    """Connect once, because MLflow itself tries ten times over more than a minute."""
    if scheme_of(uri) == "sqlite":
        if path := _sqlite_path(uri):
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(path, timeout=_CONNECT_SECONDS)) as database:
                # Takes the write lock, so that a read-only database fails here.
                database.execute("BEGIN IMMEDIATE")
                database.rollback()
        return
    with _engine(uri) as engine:
        engine.connect().close()


def _refuse_what_is_none(uri: str) -> None:
    """Refuse a database or a folder in which MLflow would make its own tables or files."""
    scheme = scheme_of(uri)
    if scheme in ("", "file"):
        from mlflow.utils import file_utils

        to_path: Any = file_utils.local_file_uri_to_path
        if not Path(to_path(uri)).is_dir():
            raise TrackingError(f"MLflow at {uri}: there is no such folder.")
    if scheme == "sqlite" and (file := _sqlite_path(uri)) and not file.is_file():
        raise TrackingError(f"MLflow at {uri}: there is no such database.")
    if scheme in DATABASE_SCHEMES:
        import sqlalchemy

        with _engine(uri) as engine:
            if not sqlalchemy.inspect(engine).has_table("experiments"):
                raise TrackingError(f"MLflow at {uri}: this database is none of MLflow's.")


@contextmanager
def _engine(uri: str) -> Iterator[Engine]:
    import sqlalchemy

    seconds = "timeout" if scheme_of(uri) == "sqlite" else "connect_timeout"
    engine = sqlalchemy.create_engine(uri, connect_args={seconds: _CONNECT_SECONDS})
    try:
        yield engine
    finally:
        engine.dispose()


def _sqlite_path(uri: str) -> Path | None:
    from sqlalchemy.engine import make_url

    database = make_url(uri).database
    # SQLite's own URIs, `file:...`, are another way to write the same, and one that can mean memory.
    if not database or database.startswith((":memory:", "file:")):
        return None
    return Path(database).resolve()


def _password(uri: str) -> str:
    credentials, at, _ = uri.partition("://")[2].rpartition("@")
    return credentials.partition(":")[2] if at else ""


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0]
