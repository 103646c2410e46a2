"""How often each model was asked over the Open Inference Protocol, and how long that took, over all servers."""

import time
from typing import Any

from pinwheel.store import keys
from pinwheel.store.connection import Client

# A model that nobody asks any more takes no room for ever.
KEPT_SECONDS = 90 * 86_400
TIMES = ("success", "queue", "compute_input", "compute_infer", "compute_output")


class Inferences:
    """Counters by version, one hash each. Names of the answer: Triton's statistics extension."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def succeeded(self, name: str, version: int, images: int, seconds: dict[str, float]) -> None:
        """`seconds` by `TIMES` without success, which is their sum."""
        key = keys.inferences(name, version)
        pipeline = self.client.pipeline(transaction=False)
        whole = {"success": sum(seconds.values())} | seconds
        for part in TIMES:
            pipeline.hincrby(key, f"{part}:ns", int(1e9 * whole[part]))
        pipeline.hincrby(key, "success:count", 1)
        pipeline.hincrby(key, "images", images)
        pipeline.hset(key, "last", int(1000 * time.time()))
        pipeline.expire(key, KEPT_SECONDS)
        pipeline.execute()

    def failed(self, name: str, version: int) -> None:
        key = keys.inferences(name, version)
        pipeline = self.client.pipeline(transaction=False)
        pipeline.hincrby(key, "fail:count", 1)
        pipeline.expire(key, KEPT_SECONDS)
        pipeline.execute()

    def told(self, name: str, version: int) -> dict[str, Any]:
        """`inference_count` counts images. How many of them one execution took is not known here and left out."""
        fields = {
            field.decode(): int(value) for field, value in self.client.hgetall(keys.inferences(name, version)).items()
        }
        count = fields.get("success:count", 0)
        times = {part: {"count": count, "ns": fields.get(f"{part}:ns", 0)} for part in TIMES}
        return {
            "name": name,
            "version": str(version),
            "last_inference": fields.get("last", 0),
            "inference_count": fields.get("images", 0),
            "inference_stats": times | {"fail": {"count": fields.get("fail:count", 0), "ns": 0}},
        }
