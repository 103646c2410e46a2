"""Everything that the routes stand on, made once when the server starts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.capacity import Capacity
from app.encoder import Encoder
from app.model_lookup import ModelLookup
from app.queue import JobQueue
from app.reaper import reap_forever
from app.watch import Watch
from pinwheel.settings import Settings, settings
from pinwheel.store.artifacts import Artifacts
from pinwheel.store.connection import AsyncClient, Client, connect, connect_async, connect_blocking_async
from pinwheel.store.datasets import Datasets
from pinwheel.store.gathering import Gathering
from pinwheel.store.inferences import Inferences
from pinwheel.store.jobs import JobStore
from pinwheel.store.models import Models


@dataclass(frozen=True)
class Services:
    settings: Settings
    client: Client
    commands: AsyncClient
    artifacts: Artifacts
    jobs: JobStore
    datasets: Datasets
    models: Models
    lookup: ModelLookup
    inferences: Inferences
    queue: JobQueue
    watch: Watch
    capacity: Capacity
    encoder: Encoder


@asynccontextmanager
async def running() -> AsyncIterator[Services]:
    """The services with their background readers; all are stopped at the end."""
    config = settings()
    url = config.store_url
    client, commands, blocking = connect(url), connect_async(url), connect_blocking_async(url)
    models, gathering, artifacts = Models(client), Gathering(commands), Artifacts(config.data_dir)
    services = Services(
        settings=config,
        client=client,
        commands=commands,
        artifacts=artifacts,
        jobs=JobStore(client, config),
        datasets=Datasets(client),
        models=models,
        lookup=ModelLookup(models, gathering),
        inferences=Inferences(client),
        queue=JobQueue(url),
        watch=Watch(blocking),
        capacity=Capacity(client, artifacts, config),
        encoder=Encoder(client, commands, blocking, gathering, config),
    )
    readers = [
        asyncio.create_task(services.watch.run()),
        asyncio.create_task(services.capacity.run()),
        asyncio.create_task(services.encoder.run()),
        asyncio.create_task(reap_forever(services.jobs, services.queue, services.artifacts, config.reap_seconds)),
    ]
    try:
        yield services
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        services.queue.close()
        await blocking.aclose()
        await commands.aclose()
        client.close()


async def services_of(request: Request) -> Services:
    """Needs no thread, as every dependency that is no coroutine does."""
    found: Services = request.app.state.services
    return found


Held = Annotated[Services, Depends(services_of)]
