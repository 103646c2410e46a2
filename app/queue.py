"""Sending jobs to the workers: one Celery message with the id. The reaper sends again what got lost."""

import structlog
from celery import Celery
from kombu.exceptions import OperationalError

from pinwheel.queue import TASKS, celery_config

log = structlog.get_logger()


class JobQueue:
    def __init__(self, redis_url: str) -> None:
        self._celery = Celery("pinwheel-api")
        self._celery.conf.update(celery_config(redis_url))

    def send(self, job_type: str, job_id: str) -> bool:
        """Tell the workers of this type to look at the job; false when the broker did not take the message."""
        try:
            self._celery.send_task(TASKS[job_type], args=[job_id], queue=job_type)
        except OperationalError as error:
            log.warning("message not sent; it will be sent again", job=job_id, error=str(error))
            return False
        return True

    def close(self) -> None:
        self._celery.close()
