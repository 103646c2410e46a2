"""Names of every key in Redis. One server, not a cluster: the scripts build some keys from the prefix themselves.

pinwheel:job:{id}            hash     one job: what was asked, state, lease, progress, result
pinwheel:job:{id}:events     stream   its log; the entry id is `{seq}-0`, so numbers have no gaps
pinwheel:jobs                zset     every job id, in order of time (scores are 0: ids sort)
pinwheel:jobs:{state}        zset     the same by state
pinwheel:leases              zset     job id by the end of its lease, server milliseconds
pinwheel:unsent              zset     queued job id by when its message is to be sent (again)
pinwheel:unfiled             set      ended jobs that are not yet written to the artifact folder
pinwheel:activity            stream   "job X has event N": what the API's one reader waits on
pinwheel:dataset:{id}        hash     one data set     pinwheel:datasets  zset     pinwheel:digests  hash digest → id
pinwheel:model:{name}        hash     records of versions (`v3`) and `reserved`   pinwheel:models  zset
pinwheel:inferences:{name}@{v}  hash  counts of one version (protocol v2); expires
pinwheel:worker:{name}       hash     a live worker; expires
pinwheel:answer:{key}        hash     what an Idempotency-Key answered; expires
pinwheel:encode:requests:{m} list     requests of a model; expires   pinwheel:encode:ready  list  models that have any
pinwheel:encode:blob:{id}    string   images or answers too large for them; expire
pinwheel:encode:gone         set      requests nobody waits for; expires   pinwheel:encode:counts  hash  of requests
pinwheel:encode:replies:{a}  channel  answers for one server process
"""

PREFIX = "pinwheel:"
JOBS = PREFIX + "jobs"
LEASES = PREFIX + "leases"
UNSENT = PREFIX + "unsent"
UNFILED = PREFIX + "unfiled"
ACTIVITY = PREFIX + "activity"
DATASETS = PREFIX + "datasets"
DIGESTS = PREFIX + "digests"
MODELS = PREFIX + "models"
ENCODE_REQUESTS = PREFIX + "encode:requests"
ENCODE_READY = PREFIX + "encode:ready"
ENCODE_GONE = PREFIX + "encode:gone"
ENCODE_COUNTS = PREFIX + "encode:counts"
BLOBS = PREFIX + "encode:blob:"
CELERY = PREFIX + "celery:"


def job(job_id: str) -> str:
    return f"{PREFIX}job:{job_id}"


def events(job_id: str) -> str:
    return f"{PREFIX}job:{job_id}:events"


def jobs_in(state: str) -> str:
    return f"{PREFIX}jobs:{state}"


def dataset(dataset_id: str) -> str:
    return f"{PREFIX}dataset:{dataset_id}"


def model(name: str) -> str:
    return f"{PREFIX}model:{name}"


def inferences(name: str, version: int) -> str:
    return f"{PREFIX}inferences:{name}@{version}"


def worker(name: str) -> str:
    return f"{PREFIX}worker:{name}"


def answer(key: str) -> str:
    return f"{PREFIX}answer:{key}"


def blob(request_id: str) -> str:
    return BLOBS + request_id


def replies(api: str) -> str:
    return f"{PREFIX}encode:replies:{api}"
