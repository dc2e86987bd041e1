"""Starts MiniStack, the AWS emulator, with what it lacks for this product.

Written for one version of it; every name that is replaced is looked up first, so that another version stops here
with a message and not later with a wrong behaviour.
"""

import json
import os
import sys
import threading

from ministack.core import iam_actions, iam_evaluator, lambda_runtime
from ministack.services import eventbridge, lambda_svc, scheduler

VERSION = "1.5.33"


def replaced(owner, name, make):
    """Replaces owner.name by make(what it was), also where other modules have imported it by name."""
    old = getattr(owner, name, None)
    if old is None:
        sys.exit(f"local/emulator/launch.py: {owner.__name__} has no {name}; this is for ministack {VERSION}.")
    new = make(old)
    setattr(owner, name, new)
    for module in list(sys.modules.values()):
        if getattr(module, name, None) is old:
            setattr(module, name, new)


# Functions run together as often as their mapping allows, and five at once where it says nothing.
def concurrency(_old):
    def of(mapping, function, config, queue=None):
        limit = (mapping.get("ScalingConfig") or {}).get("MaximumConcurrency") or 5
        reserved = lambda_svc._reserved_concurrency(function, config)
        return limit if reserved is None else min(limit, reserved)

    return of


replaced(lambda_svc, "_sqs_esm_concurrency", concurrency)

# A report of failed items that AWS would refuse fails the whole batch, as it does there.
_batch = threading.local()


def checked(old):
    def execute(function, event):
        result = old(function, event)
        ids = getattr(_batch, "ids", None)
        if ids is None or result.get("error"):
            return result
        body = result.get("body")
        if isinstance(body, str):
            try:
                body = json.loads(body)
            except ValueError:
                return result
        failures = body.get("batchItemFailures") if isinstance(body, dict) else None
        if not failures:
            return result
        if isinstance(failures, list) and all(
            isinstance(failure, dict) and failure.get("itemIdentifier") in ids for failure in failures
        ):
            return result
        text = f"batchItemFailures names no messages of this batch: {failures!r}"
        error = {"errorType": "InvalidBatchItemFailures", "errorMessage": text}
        return {"error": True, "log": result.get("log", ""), "body": error}

    return execute


def remembering(old):
    def run(mapping, function, event, batch, url, name):
        partial = "ReportBatchItemFailures" in mapping.get("FunctionResponseTypes", [])
        _batch.ids = {message["id"] for message in batch} if partial else None
        try:
            return old(mapping, function, event, batch, url, name)
        finally:
            _batch.ids = None

    return run


replaced(lambda_svc, "_execute_function", checked)
replaced(lambda_svc, "_run_sqs_batch", remembering)

# Waiting 50 ms for log lines after each invocation is longer than most invocations take.
replaced(
    lambda_runtime.Worker,
    "_drain_stderr_bounded",
    lambda old: lambda self: old(self, first_line_wait=0.003, idle_confirm=0.002),
)

# Schedules are looked at every second.
replaced(eventbridge, "_SCHEDULER_TICK_INTERVAL", lambda _old: 1)
replaced(scheduler, "_SCHEDULE_TICK_INTERVAL", lambda _old: 1)

# Policies that insist on TLS (`enforceSSL`) are met: the gateway listens on loopback only.
replaced(
    iam_evaluator,
    "_resolve_condition_key",
    lambda old: lambda key, context: "true" if key.lower() == "aws:securetransport" else old(key, context),
)


# AWS authorises SQS's batch calls by the single action; there is no sqs:SendMessageBatch.
def single(old):
    def action(service, *args, **kwargs):
        name = old(service, *args, **kwargs)
        return name.removesuffix("Batch") if name and service == "sqs" else name

    return action


replaced(iam_actions, "extract_iam_action", single)

if __name__ == "__main__":
    from ministack.app import main

    os.environ.setdefault("BIND_HOST", "127.0.0.1")
    main()
