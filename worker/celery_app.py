"""The Celery application: `celery -A worker.celery_app worker -Q train -P threads -c 1`.

Started by `pinwheel up`, by docker-compose.yml and by hand; docs/architecture.md says what each part does.
"""

import threading
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_shutting_down

from pinwheel.logs import configure_logs
from pinwheel.queue import celery_config
from pinwheel.settings import settings
from worker.presence import Presence

celery = Celery("pinwheel", include=["worker.tasks"])
celery.conf.update(celery_config(settings().store_url))

# Set when this worker is told to end: trainings write a checkpoint and give their job back.
leaving = threading.Event()


@worker_shutting_down.connect
def _leave(**_: Any) -> None:
    leaving.set()


@setup_logging.connect
def _logs(**_: Any) -> None:
    configure_logs(settings().log_level)


celery.steps["worker"].add(Presence)


def _add_encode_loop() -> None:
    from worker.encoding.loop import EncodeLoop

    celery.steps["worker"].add(EncodeLoop)


_add_encode_loop()
