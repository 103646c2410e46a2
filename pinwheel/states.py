"""The life of a job as one table: the source of the states, the store's scripts, the API's answers and the docs.

queued → running → succeeded | failed | cancelled
running → pausing → paused → queued        running → cancelling → cancelled
"""

from enum import StrEnum


class State(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})
# States in which one worker holds the job under a lease.
LEASED = frozenset({State.RUNNING, State.PAUSING, State.CANCELLING})

# What each command does to a job in each state. A state that is missing refuses the command; a state that maps to
# itself accepts it and changes nothing, so that every command can be repeated.
TRANSITIONS: dict[str, dict[State, State]] = {
    # asked for by people
    "cancel": {
        State.QUEUED: State.CANCELLED,
        State.RUNNING: State.CANCELLING,
        State.PAUSING: State.CANCELLING,
        State.PAUSED: State.CANCELLED,
        State.CANCELLING: State.CANCELLING,
        State.CANCELLED: State.CANCELLED,
    },
    "pause": {
        State.QUEUED: State.PAUSED,
        State.RUNNING: State.PAUSING,
        State.PAUSING: State.PAUSING,
        State.PAUSED: State.PAUSED,
    },
    "resume": {
        State.PAUSED: State.QUEUED,
        State.PAUSING: State.RUNNING,
        State.QUEUED: State.QUEUED,
        State.RUNNING: State.RUNNING,
    },
    # done by the worker that holds the lease
    "claim": {State.QUEUED: State.RUNNING},
    "succeed": {
        State.RUNNING: State.SUCCEEDED,
        State.PAUSING: State.SUCCEEDED,
        State.CANCELLING: State.SUCCEEDED,
    },
    "fail": {State.RUNNING: State.FAILED, State.PAUSING: State.FAILED, State.CANCELLING: State.FAILED},
    # the worker stopped on purpose, with a checkpoint: what was asked for is done; the attempt is not counted
    "release": {
        State.RUNNING: State.QUEUED,
        State.PAUSING: State.PAUSED,
        State.CANCELLING: State.CANCELLED,
    },
    # the trainer died, the lease ran out, or the data folder was full: as release, but the attempt is counted
    "lose": {
        State.RUNNING: State.QUEUED,
        State.PAUSING: State.PAUSED,
        State.CANCELLING: State.CANCELLED,
    },
}


def allowed_commands(state: State) -> list[str]:
    """The commands of people that change something in this state."""
    return [name for name in ("cancel", "pause", "resume") if TRANSITIONS[name].get(state, state) != state]
