"""The job store: transitions, leases, fencing and the log, against a real server."""

import time
from uuid import uuid4

import pytest

from pinwheel.errors import JobStateConflict, NotFound, TooManyRequests
from pinwheel.states import TERMINAL, TRANSITIONS, State
from pinwheel.store import datasets, events, keys
from pinwheel.store.jobs import Claim, Event, JobStore, LeaseLost, Publication
from pinwheel.store.pages import Page


def create(store: JobStore, job_id: str = "job_1", **fields: object) -> None:
    store.create(job_id, {"type": "train", "dataset": "ds_1", "max_attempts": 3, "spec": {}} | fields, [])


def claimed(store: JobStore, worker: str = "w1") -> Claim:
    claim = store.claim("job_1", worker)
    assert claim is not None
    return claim


def log(store: JobStore, job_id: str = "job_1") -> list[tuple[int, str]]:
    return [(event["seq"], event["type"]) for event in events.read(store.client, job_id)]


def test_a_new_job_is_queued_with_its_first_event(store: JobStore) -> None:
    create(store)
    job = store.get("job_1")
    assert (job["state"], job["attempt"], job["queue_position"]) == ("queued", 1, 1)
    assert log(store) == [(1, "status")]


def test_creating_a_job_twice_changes_nothing(store: JobStore) -> None:
    create(store)
    create(store, name="another")
    assert "name" not in store.get("job_1")
    assert log(store) == [(1, "status")]


def test_only_one_worker_gets_a_job(store: JobStore) -> None:
    create(store)
    assert claimed(store).token == 1
    assert store.claim("job_1", "w2") is None


def test_a_job_is_not_made_of_what_was_just_deleted(store: JobStore) -> None:
    fields = {"type": "train", "dataset": "ds_1", "max_attempts": 3, "spec": {}}
    with pytest.raises(NotFound, match="deleted a moment ago"):
        store.create("job_1", fields, [datasets.used_by("ds_1")])
    with pytest.raises(NotFound):
        store.get("job_1")


def test_a_script_that_is_sent_again_has_its_first_answer_and_changes_nothing(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client library sends a script again when it lost the answer."""
    create(store)
    operation = uuid4()
    monkeypatch.setattr("pinwheel.store.jobs.uuid4", lambda: operation)
    first, again = claimed(store), claimed(store)
    assert (first.token, again.token) == (1, 1)
    assert log(store) == [(1, "status"), (2, "status")]


def test_a_cancelled_job_cannot_be_claimed(store: JobStore) -> None:
    create(store)
    assert store.command("job_1", "cancel")["state"] == "cancelled"
    assert store.claim("job_1", "w1") is None
    assert log(store)[-1] == (3, "done")


def test_a_worker_that_lost_its_lease_can_write_nothing(store: JobStore) -> None:
    create(store)
    first = claimed(store)
    time.sleep(0.15)
    assert store.lapse() == ["job_1"]
    second = claimed(store, "w2")
    assert second.job["attempt"] == 2
    for act in (
        lambda: store.beat(first, 1, {"metrics": {"loss": 9}}),
        lambda: store.end(first, "succeed"),
        lambda: store.end(first, "lose"),
        lambda: store.reserve_version(first, "m"),
        lambda: store.end(first, "succeed", model=Publication("m", 1, {})),
    ):
        with pytest.raises(LeaseLost):
            act()
    assert store.get("job_1")["state"] == "running"
    assert "metrics" not in store.get("job_1")
    assert store.client.exists(keys.model("m")) == 0


def test_a_lease_that_ended_but_was_not_taken_cannot_be_beaten_back_to_life(store: JobStore) -> None:
    create(store)
    claim = claimed(store)
    time.sleep(0.15)
    store.lapse()
    with pytest.raises(LeaseLost):
        store.beat(claim, 1)


def test_a_lease_that_is_renewed_does_not_lapse(store: JobStore) -> None:
    create(store)
    claim = claimed(store)
    for report in range(1, 6):
        time.sleep(0.04)
        store.beat(claim, report)
        assert store.lapse() == []


def test_a_clock_that_is_put_back_keeps_no_lease_and_no_message_for_hours(store: JobStore) -> None:
    create(store)
    hours = 3 * 3600 * 1000
    store.client.zincrby("pinwheel:unsent", hours, "job_1")
    assert store.due() == [("job_1", "train")]
    claimed(store)
    store.client.zincrby(keys.LEASES, hours, "job_1")  # as if the clock had been three hours ahead
    assert store.lapse() == ["job_1"]
    assert store.get("job_1")["state"] == "queued"


def test_a_lease_that_was_renewed_after_somebody_looked_is_not_taken(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(store)
    claim = claimed(store)
    time.sleep(0.15)
    stale = store.client.zrange(keys.LEASES, 0, -1)  # what a reaper saw
    store.beat(claim, 1)
    monkeypatch.setattr(store.client, "zrangebyscore", lambda *_: stale)
    assert store.lapse() == []
    assert store.get("job_1")["state"] == "running"


def test_the_last_attempt_ends_the_job(store: JobStore) -> None:
    create(store, max_attempts=2)
    for _ in range(2):
        claimed(store)
        time.sleep(0.15)
        store.lapse()
    job = store.get("job_1")
    assert job["state"] == "failed"
    assert job["error"]["code"] == "worker_lost"
    assert "2 times" in job["error"]["detail"]
    assert log(store)[-1][1] == "done"


def test_a_step_is_reported_once_over_all_attempts(store: JobStore) -> None:
    create(store)
    first = claimed(store)
    store.beat(first, 1, {}, [Event("metrics", {"step": step}, step) for step in (1, 2, 3)])
    store.end(first, "lose")
    second = claimed(store)
    store.beat(second, 1, {}, [Event("metrics", {"step": step}, step) for step in (2, 3, 4)])
    steps = [event["data"]["step"] for event in events.read(store.client, "job_1") if event["type"] == "metrics"]
    assert steps == [1, 2, 3, 4]


def test_a_report_that_arrives_twice_is_written_once(store: JobStore) -> None:
    create(store)
    claim = claimed(store)
    for _ in range(2):
        store.beat(claim, 1, {}, [Event("log", {"message": "hello"})])
    assert [kind for _, kind in log(store)].count("log") == 1


def test_events_have_numbers_without_gaps(store: JobStore) -> None:
    create(store)
    claim = claimed(store)
    store.beat(claim, 1, {}, [Event("log", {"n": n}) for n in range(20)])
    store.command("job_1", "cancel")
    store.end(claim, "release")
    assert [seq for seq, _ in log(store)] == list(range(1, len(log(store)) + 1))


def test_a_cancel_reaches_the_worker_with_its_next_beat(store: JobStore) -> None:
    create(store)
    claim = claimed(store)
    assert store.beat(claim, 1) is State.RUNNING
    assert store.command("job_1", "cancel")["state"] == "cancelling"
    assert store.beat(claim, 2) is State.CANCELLING
    assert store.end(claim, "release") is State.CANCELLED


def test_a_training_that_ends_while_a_cancel_is_under_way_succeeds(store: JobStore) -> None:
    create(store)
    claim = claimed(store)
    store.command("job_1", "cancel")
    assert store.end(claim, "succeed") is State.SUCCEEDED


def test_a_released_job_keeps_its_attempts(store: JobStore) -> None:
    create(store)
    assert store.end(claimed(store), "release") is State.QUEUED
    assert store.get("job_1")["attempt"] == 1
    assert store.due() == [("job_1", "train")]


@pytest.mark.parametrize("command", ["cancel", "pause", "resume"])
@pytest.mark.parametrize("state", list(State))
def test_commands_follow_the_table(store: JobStore, command: str, state: State) -> None:
    create(store)
    bring_to(store, state)
    before = log(store)
    expected = TRANSITIONS[command].get(state)
    if expected is None:
        with pytest.raises(JobStateConflict) as refusal:
            store.command("job_1", command)
        assert refusal.value.extra["current"] == state
        assert command not in refusal.value.extra["allowed"]
        assert log(store) == before
    else:
        assert store.command("job_1", command)["state"] == expected
        assert store.command("job_1", command)["state"] in (expected, TRANSITIONS[command][expected])
        if expected is state:
            assert log(store) == before


def bring_to(store: JobStore, state: State) -> None:
    if state is State.QUEUED:
        return
    if state is State.PAUSED:
        store.command("job_1", "pause")
        return
    claim = claimed(store)
    commands = {State.PAUSING: "pause", State.CANCELLING: "cancel", State.CANCELLED: "cancel"}
    if state in commands:
        store.command("job_1", commands[state])
    ends = {State.SUCCEEDED: "succeed", State.FAILED: "fail", State.CANCELLED: "release"}
    if state in ends:
        store.end(claim, ends[state])
    assert store.get("job_1")["state"] == state


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_nothing_leaves_a_final_state(store: JobStore, state: State) -> None:
    for moves in TRANSITIONS.values():
        assert moves.get(state, state) is state


@pytest.mark.parametrize("state", list(State))
def test_each_job_stands_in_the_index_of_its_state_alone(store: JobStore, state: State) -> None:
    create(store)
    bring_to(store, state)
    found = {other for other in State if store.client.zscore(keys.jobs_in(other), "job_1") is not None}
    assert found == {state}
    leased = store.client.zscore(keys.LEASES, "job_1") is not None
    assert leased == (state in (State.RUNNING, State.PAUSING, State.CANCELLING))


def test_a_live_job_cannot_be_forgotten_and_a_finished_one_leaves_nothing(store: JobStore) -> None:
    create(store)
    with pytest.raises(JobStateConflict):
        store.forget("job_1")
    store.command("job_1", "cancel")
    store.forget("job_1")
    with pytest.raises(NotFound):
        store.get("job_1")
    assert [key for key in store.client.scan_iter() if key != keys.ACTIVITY.encode()] == []


def test_a_full_queue_refuses_more(store: JobStore) -> None:
    for number in range(50):
        create(store, f"job_{number}")
    with pytest.raises(TooManyRequests, match="50") as refusal:
        create(store, "job_more")
    assert refusal.value.retry_after_seconds


def test_a_queued_job_is_due_again_after_a_while(store: JobStore) -> None:
    create(store)
    assert store.due() == []
    time.sleep(0.06)
    assert store.due() == [("job_1", "train")]
    assert store.due() == []


def test_lists_come_in_pages_and_by_state(store: JobStore) -> None:
    for number in range(1, 6):
        create(store, f"job_{number}", type="train" if number % 2 else "encode")
    store.command("job_3", "cancel")
    page, more = store.listed(Page(limit=2))
    assert ([job["id"] for job in page], more) == (["job_5", "job_4"], True)
    page, more = store.listed(Page(after="job_2", limit=10))
    assert ([job["id"] for job in page], more) == (["job_1"], False)
    assert [job["id"] for job in store.listed(Page(), status="cancelled")[0]] == ["job_3"]
    page, more = store.listed(Page(limit=1, order="asc"), type_="encode")
    assert ([job["id"] for job in page], more) == (["job_2"], True)
