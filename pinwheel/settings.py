"""Every setting of the server, the workers and `pinwheel up`, read from the environment (prefix `PINWHEEL_`)."""

from functools import cache
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pinwheel.access import read_keys

MEBIBYTE = 1024 * 1024


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PINWHEEL_", extra="ignore", frozen=True)

    data_dir: Path = Field(
        Path("pinwheel-data"), description="Folder of data sets, models, jobs and the embedded store."
    )
    store_bytes: int = Field(
        2048 * MEBIBYTE,
        ge=16 * MEBIBYTE,
        description="Memory of the embedded store; when nine tenths are used, nothing new is taken.",
    )
    redis_url: str | None = Field(
        None, description="Redis 7.2 or Valkey 8 server of your own; empty: `pinwheel up` starts the embedded one."
    )
    min_free_bytes: int = Field(
        128 * MEBIBYTE, ge=0, description="Space to be left in the data folder; with less, nothing new is taken."
    )
    host: str = Field("127.0.0.1", description="Address the server listens on.")
    port: int = Field(8000, ge=0, le=65535, description="Port the server listens on; 0 takes a free one.")
    api_keys: str = Field(
        "",
        description="Keys, `name:scope:hash` as `pinwheel key` prints them, commas between; empty: none is asked for.",
        repr=False,
    )
    allowed_hosts: str = Field(
        "", description="Names, with commas between, by which the service is asked, as behind a proxy."
    )
    log_level: str = Field("info", description="debug, info, warning or error.")

    lease_seconds: float = Field(15.0, gt=0, description="A worker silent for this long has lost its job.")
    reap_seconds: float = Field(2.0, gt=0, description="How often lost jobs and lost messages are looked for.")
    resend_seconds: float = Field(
        30.0, gt=0, description="A queued job without a message is sent again after this long."
    )
    visibility_seconds: int = Field(
        3600, ge=1, description="The broker gives a message that no worker took in so long to another one."
    )
    checkpoint_seconds: float = Field(20.0, ge=0, description="Time between checkpoints of a training.")
    grace_seconds: float = Field(20.0, gt=0, description="Time a trainer has to stop by itself before it is killed.")
    events_per_job: int = Field(20_000, ge=100, description="Events kept per job; older ones are dropped.")
    threads: int = Field(0, ge=0, description="CPU threads of a trainer or encoder; 0 takes one for each core.")

    max_body_bytes: int = Field(4 * MEBIBYTE, ge=1024, description="Largest JSON body.")
    max_dataset_bytes: int = Field(
        2048 * MEBIBYTE, ge=1024, description="Largest upload, and largest data set once unpacked."
    )
    max_dataset_images: int = Field(5_000_000, ge=1, description="Most images in one data set.")
    max_image_pixels: int = Field(40_000_000, ge=1, description="Most pixels in one image.")
    max_encode_bytes: int = Field(64 * MEBIBYTE, ge=1024, description="Largest body of an encode request.")
    max_encode_images: int = Field(20_000, ge=1, description="Most images in one encode request; more are a job.")
    max_concurrent_encodes: int = Field(
        256, ge=1, description="Most encode requests that one server process has under way; more are refused with 429."
    )
    max_concurrent_encode_bytes: int = Field(
        1024 * MEBIBYTE, ge=1024, description="Most bytes that the bodies of these requests have together."
    )
    max_concurrent_uploads: int = Field(
        16, ge=1, description="Most uploads of data sets that one server process has under way."
    )
    max_requests_per_minute: int = Field(
        0, ge=0, description="Most requests of one key in a minute, for each server process; 0: no limit."
    )
    result_shard_bytes: int = Field(
        64 * MEBIBYTE, ge=1024, description="Size at which the features of an encoding job go on in another file."
    )
    max_queued_jobs: int = Field(1000, ge=1, description="Most jobs that may wait.")
    convert_seconds: float = Field(600.0, gt=0, description="Time the conversion of one upload may take.")
    convert_memory_bytes: int = Field(4096 * MEBIBYTE, ge=256 * MEBIBYTE, description="Memory the conversion may take.")
    encode_seconds: float = Field(60.0, gt=0, description="Time an encode request may take before it is given up.")
    encode_batch: int = Field(64, ge=1, description="Most encode requests that are computed together; 1 is one by one.")
    encode_models: int = Field(16, ge=1, description="Most models that an encode worker keeps loaded.")
    encode_models_bytes: int = Field(
        2048 * MEBIBYTE, ge=MEBIBYTE, description="Memory of the models that an encode worker keeps loaded."
    )
    encode_load_seconds: float = Field(
        2.0, ge=0, description="How long a request waits for its model to be loaded before it is told to come again."
    )
    idempotency_seconds: int = Field(86_400, ge=1, description="How long the answer to an `Idempotency-Key` is kept.")

    @field_validator("api_keys")
    @classmethod
    def _readable(cls, text: str) -> str:
        read_keys(text)
        return text

    @property
    def store_url(self) -> str:
        """The store to talk to: the one that was named, or a server of one's own at its usual address."""
        return self.redis_url or "redis://127.0.0.1:6379/0"


@cache
def settings() -> Settings:
    return Settings()
