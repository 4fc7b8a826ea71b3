"""vLLM's engine without a server: the runs of a sweep are threads of one process and share its batches."""

from __future__ import annotations

import asyncio
import itertools
import os
import queue
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar

from harness.errors import ModelError
from harness.errors import ModelUnavailable
from harness.models import Endpoint
from llm_strategies.models import engines
from llm_strategies.models.client import CONTEXT_EXCEEDED
from llm_strategies.models.reply import TOO_LONG
from llm_strategies.models.reply import Reply
from llm_strategies.models.vllm_model import VLLMModel
from llm_strategies.models.vllm_model import require
from llm_strategies.models.vllm_server import VLLMServer

if TYPE_CHECKING:
    from vllm import RequestOutput

_STOP_SECONDS = 30.0
_numbers = itertools.count()


class VLLMEngine:
    """vLLM's ``LLM`` in the process of the sweep.

    Requests that wait at the same time are computed in one batch, and one that comes later joins it. Replies are
    those of :class:`~llm_strategies.models.vllm_server.VLLMServer` with the same arguments, so both share
    transcripts; a reasoning parser, which belongs to the server, is the exception. vLLM must be installed in the
    environment of the harness.

    Args:
        model: Name on Hugging Face, or folder with weights, ``config.json`` and tokenizer.
        name: Name in tables and transcripts; by default the folder's, or that on Hugging Face.
        revision: Branch, tag or commit on Hugging Face. A commit alone says which weights answered.
        dtype: ``auto``, ``bfloat16``, ``float16``, ``float32``; see vLLM.
        quantization: Method of quantisation; by default what the model's configuration says.
        max_model_len: Largest number of tokens of prompt and reply together; by default the model's own.
        tensor_parallel_size: Number of GPUs that share each layer.
        extra: Other arguments of vLLM's ``LLM`` that may decide replies. They are part of a run's identity.
        resources: Arguments that decide no reply, such as ``{gpu_memory_utilization: 0.9}``; no part of a run's
            identity.
        gpus: GPUs whose time is charged to the runs; by default ``tensor_parallel_size`` on GPUs, and 0 on a CPU.

    Raises:
        SpecError: A value is illegal.
    """

    nothing_to_serve: ClassVar[str] = "it lives in the process of each sweep; `kind: vllm` is served"
    operational_parameters: ClassVar[frozenset[str]] = frozenset(
        {"tensor_parallel_size", "resources", "gpus"}
    )

    def __init__(
        self,
        *,
        model: str,
        name: str | None = None,
        revision: str | None = None,
        dtype: str = "auto",
        quantization: str | None = None,
        max_model_len: int | None = None,
        tensor_parallel_size: int = 1,
        extra: Mapping[str, Any] | None = None,
        resources: Mapping[str, Any] | None = None,
        gpus: float | None = None,
    ) -> None:
        self.model = VLLMModel(
            model,
            name,
            revision,
            dtype,
            quantization,
            max_model_len,
            tensor_parallel_size,
            extra or {},
            resources or {},
        )
        require("gpus", gpus, 0)
        self.gpus = gpus
        self._batches: _Batches | None = None
        self._engine: str | None = None

    def describe(self) -> Endpoint:
        """The endpoint without an engine. Loads nothing, and does not need vLLM.

        Raises:
            ModelError: The model's folder is missing.
        """
        return Endpoint("", self.model.served_name, identity=self.model.identity)

    def start(self) -> Endpoint:
        """Load the model into this process.

        Raises:
            ModelError: vLLM is not installed, or cannot load the model.
        """
        self.stop()
        identity = self.model.identity
        if reason := self.check():
            raise ModelError(reason)
        # What vLLM tells of its start would cover what the sweep tells of its runs.
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        # The processes of GPUs are then children of this one and end with it, however it ends; vLLM's engine in a
        # process between them would outlive this one if it were killed, and hold the GPUs' memory.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        # A fork of a process with threads may hang.
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        batches = _Batches(self.model)
        try:
            on_cpu = batches.ready()
        except (Exception, SystemExit) as error:
            batches.close()
            raise ModelError(
                f"vLLM cannot load {self.model.model!r}: {type(error).__name__}: {error}. What it printed before may "
                "say more of the cause."
            ) from error
        self._batches = batches
        self._engine = f"vllm-{next(_numbers)}"
        engines.register(self._engine, batches)
        gpus = self.gpus
        if gpus is None:
            gpus = 0.0 if on_cpu else float(self.model.tensor_parallel_size)
        return Endpoint("", self.model.served_name, identity=identity, gpus=gpus, in_process=self._engine)

    def stop(self) -> None:
        """Unload the model. Safe to call twice, and without :meth:`start`."""
        if self._engine is not None:
            engines.remove(self._engine)
        if self._batches is not None:
            self._batches.close()
        self._engine = self._batches = None

    @classmethod
    def check(cls) -> str | None:
        """Why vLLM cannot be used in this environment, or ``None`` when it can."""
        return VLLMServer.check()


class _Batches:
    """A thread that feeds the engine: it takes what waits, computes one step for all, hands out what is done.

    The engine is made and used by this thread alone: PyTorch keeps the current device by thread.

    Args:
        model: What to load.
    """

    def __init__(self, model: VLLMModel) -> None:
        self._model = model
        self._name = model.served_name
        self._loaded: Future[bool] = Future()
        self._waiting: queue.SimpleQueue[tuple[Mapping[str, Any], Future[Reply]] | None] = queue.SimpleQueue()
        self._running: dict[str, Future[Reply]] = {}
        self._thread = threading.Thread(target=self._work, name="vllm", daemon=True)
        self._thread.start()

    def ready(self) -> bool:
        """Wait until the model is loaded, or raise what prevents it; returns whether it computes on the CPU."""
        return self._loaded.result()

    async def chat(self, request: Mapping[str, Any]) -> Reply:
        """See :class:`~llm_strategies.models.engines.Engine`."""
        future: Future[Reply] = Future()
        self._waiting.put((request, future))
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """End the engine and its processes; what waits fails."""
        self._waiting.put(None)
        self._thread.join(_STOP_SECONDS)

    def _work(self) -> None:
        try:
            from vllm import LLM
            from vllm.platforms import current_platform

            on_cpu = current_platform.is_cpu()
            arguments = {"use_tqdm_on_load": False} | self._model.arguments(on_cpu=on_cpu)
            self._llm = LLM(self._model.model, **arguments)
        except BaseException as error:  # noqa: BLE001  (handed to who waits for the model)
            self._loaded.set_exception(error)
            return
        self._loaded.set_result(on_cpu)
        try:
            self._serve()
            reason = f"the engine of model {self._name!r} was stopped."
        except Exception as error:  # noqa: BLE001  (whatever ends the engine is handed to those who wait for it)
            reason = f"the engine of model {self._name!r} has died: {type(error).__name__}: {error}."
        refusal = ModelUnavailable(reason)
        for future in self._running.values():
            future.set_exception(refusal)
        self._llm.llm_engine.engine_core.shutdown()
        while (item := self._waiting.get()) is not None:
            item[1].set_exception(refusal)

    def _serve(self) -> None:
        while self._take():
            for output in self._llm.llm_engine.step():
                if output.finished:
                    self._answer(self._running.pop(output.request_id), output)
        # The mark is for the loop of refusals as well.
        self._waiting.put(None)

    def _take(self) -> bool:
        """Hand to the engine what waits, or wait for something to do; false when there will be nothing more."""
        while not self._running or not self._waiting.empty():
            item = self._waiting.get()
            if item is None:
                return False
            request, future = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                self._running[self._enqueue(request)] = future
            except ModelError as error:
                future.set_exception(error)
            except _TooLong:
                future.set_result(Reply("", TOO_LONG, 0, 0))
            except BaseException:
                # Not yet among the running, and no less failed than they.
                self._running[""] = future
                raise
        return True

    def _answer(self, future: Future[Reply], output: RequestOutput) -> None:
        completion = output.outputs[0]
        if completion.finish_reason in ("abort", "error"):
            future.set_exception(ModelUnavailable(f"model {self._name!r} gave a request up; run again."))
            return
        future.set_result(
            Reply(
                completion.text,
                completion.finish_reason or "stop",
                len(output.prompt_token_ids or ()),
                len(completion.token_ids),
            )
        )

    def _enqueue(self, request: Mapping[str, Any]) -> str:
        """Number under which the engine will report the reply."""
        from jinja2 import TemplateError
        from vllm import SamplingParams
        from vllm.exceptions import VLLMClientError
        from vllm.sampling_params import StructuredOutputsParams

        schema = request["schema"]
        try:
            # As the server does: what the request leaves open is as the model's generation_config.json says.
            sampling = SamplingParams.from_optional(
                **self._llm.model_config.get_diff_sampling_param()
                | {"max_tokens": None}
                | request["sampling"]
                | {"seed": request["seed"]},
                structured_outputs=None if schema is None else StructuredOutputsParams(json=schema),
            )
            (number,) = self._llm.enqueue_chat(request["messages"], sampling, use_tqdm=False)
        except (VLLMClientError, TemplateError, ValueError, TypeError) as error:
            if any(mark in str(error) for mark in CONTEXT_EXCEEDED):
                raise _TooLong from error
            raise ModelError(f"model {self._name!r} refused the request: {error}.") from error
        # The engine adds random letters to make it unique, and reports without them.
        return number.partition("-")[0]


class _TooLong(Exception):
    """The prompt does not fit the context."""
