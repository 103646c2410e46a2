"""Records of the store as the API shows them (field names: docs/api.md)."""

from pathlib import Path
from typing import Any

from app.geometry import feature_shape
from app.maps import available
from pinwheel.checkpoints import order
from pinwheel.files import layers_of
from pinwheel.states import TERMINAL, State


def job_view(job: dict[str, Any]) -> dict[str, Any]:
    state = State(job["state"])
    here = f"/v1/jobs/{job['id']}"
    links = {"self": here, "events": f"{here}/events", "metrics": f"{here}/metrics", "html": f"/jobs/{job['id']}"}
    links |= (
        {"filters": f"{here}/filters"}
        if job["type"] == "train"
        else {"result": f"{here}/result", "shards": f"{here}/result/shards"}
    )
    view = {
        "object": "job",
        "id": job["id"],
        "type": job["type"],
        "name": job.get("name"),
        "status": state.value,
        "terminal": state in TERMINAL,
        "status_reason": job.get("status_reason"),
        "recipe": job.get("recipe"),
        "dataset": job.get("dataset"),
        "validation": job.get("validation"),
        "spec": job.get("spec"),
        "model": job.get("model"),
        "publish_as": job.get("publish_as"),
        "progress": job["progress"],
        "metrics": job.get("metrics") or {},
        "attempt": job["attempt"],
        "max_attempts": job["max_attempts"],
        "worker": job.get("worker"),
        "queue_position": job.get("queue_position"),
        "error": job.get("error"),
        "created_at": job["created_at"],
        "started_at": job.get("started_at"),
        "finished_at": job.get("finished_at"),
        "metadata": job.get("metadata") or {},
        "links": links,
    }
    if job["type"] == "train":
        view |= {name: job.get(name) for name in ("max_seconds", "resume_from")}
        view |= {"keep_checkpoint": job.get("keep_checkpoint", False), "checkpoint_step": _checkpoint_step(job)}
    if job["type"] == "encode":
        chosen = {name: job.get(name) for name in ("layer", "passes", "pool", "stride", "output")}
        view |= chosen | {"result": job.get("result")}
    return view


def _checkpoint_step(job: dict[str, Any]) -> int | None:
    """Of the checkpoint that it, or another job, goes on from."""
    gone = job["state"] == State.SUCCEEDED and not job.get("keep_checkpoint")
    pointed = None if gone else job.get("checkpoint")
    return None if pointed is None else order(Path(pointed))[1]


def dataset_view(record: dict[str, Any]) -> dict[str, Any]:
    return {"object": "dataset", **record, "links": {"preview": f"/v1/datasets/{record['id']}/preview"}}


def model_view(record: dict[str, Any]) -> dict[str, Any]:
    here = f"/v1/models/{record['name']}@{record['version']}"
    shown = {name: value for name, value in record.items() if name != "format"}
    maps = {kind: f"{here}/maps/{kind}" for kind in available(record)}
    links = {"self": here, "weights": f"{here}/weights", "filters": f"{here}/filters", "encode": f"{here}/encode"}
    # of every unit, from 0, in place of {unit}
    links["filter"] = f"{here}/filters/{{unit}}"
    if record.get("patches"):
        links["patches"] = f"{here}/filters/{{unit}}/patches"
    shown["feature_shape"] = feature_shape(record)
    return {"object": "model", **shown, "links": links | {"job": f"/v1/jobs/{record['job']}"}, "maps": maps}


def unit_links(record: dict[str, Any], layer: int, unit: int, *, patches: bool) -> dict[str, str | None]:
    """Of one unit of a layer; whether there are `patches` of it."""
    model = f"/v1/models/{record['name']}@{record['version']}"
    here, of_layer = f"{model}/filters/{unit}", "" if len(layers_of(record)) == 1 else f"?layer={layer}"
    return {
        "self": f"{here}{of_layer}",
        "patches": f"{here}/patches{of_layer}" if patches else None,
        "filters": f"{model}/filters{of_layer}",
        "model": model,
    }


def list_view(items: list[dict[str, Any]], has_more: bool, key: str = "id") -> dict[str, Any]:
    return {
        "object": "list",
        "data": items,
        "first_id": items[0][key] if items else None,
        "last_id": items[-1][key] if items else None,
        "has_more": has_more,
    }
