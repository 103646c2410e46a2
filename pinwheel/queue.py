"""How jobs travel: Celery's settings, for the server that sends and the workers that receive.

A message carries only a job's id: the job store owns the job, the message is a hint to look. Redis redelivers and loses
messages (docs/decisions/0002-redis.md); a second delivery finds nothing to claim, a lost one is sent again.
"""

from typing import Any

from pinwheel.settings import settings
from pinwheel.store import keys
from pinwheel.store.connection import broker_url

QUEUES = ("train", "encode")
TASKS = {"train": "pinwheel.train", "encode": "pinwheel.encode"}


def celery_config(redis_url: str) -> dict[str, Any]:
    return {
        "broker_url": broker_url(redis_url),
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "global_keyprefix": keys.CELERY,
            "visibility_timeout": settings().visibility_seconds,
            "socket_timeout": 10,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 25,
        },
        "task_ignore_result": True,
        "task_acks_late": False,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_queues": {name: {"exchange": name, "routing_key": name} for name in QUEUES},
        "task_default_queue": "train",
        "task_routes": {task: {"queue": name} for name, task in TASKS.items()},
        "task_create_missing_queues": False,
        "task_publish_retry_policy": {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 1},
        "worker_prefetch_multiplier": 1,
        "worker_disable_prefetch": True,
        "worker_hijack_root_logger": False,
        "worker_send_task_events": False,
        "worker_enable_remote_control": False,
        "enable_utc": True,
    }
