"""The job store as a machine: people, workers and the reaper do what they like, in any order, and lose messages.

After every step the records on a real server must agree with what the table of states allows. The server's clock is
not moved: a lease is over when the test writes an end in the past, which is what the scripts look at. A longer search:
`PINWHEEL_TEST_EXAMPLES=2000 pytest tests/pinwheel/store/test_machine.py`.
"""

import os
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pinwheel.errors import JobStateConflict
from pinwheel.settings import Settings
from pinwheel.states import LEASED, TERMINAL, TRANSITIONS, State
from pinwheel.store import events, keys
from pinwheel.store.connection import connect
from pinwheel.store.jobs import Claim, Event, JobStore, LeaseLost

EXAMPLES = int(os.environ.get("PINWHEEL_TEST_EXAMPLES", "40"))
JOBS = ("job_1", "job_2")
MOST_ATTEMPTS = 3
some_job = st.sampled_from(JOBS)


@dataclass
class Known:
    """What the test knows of a job: the state by the table, and every claim there ever was, the newest last."""

    state: State = State.QUEUED
    attempt: int = 1
    claims: list[Claim] = field(default_factory=list)
    reports: int = 0
    step: int = 0

    @property
    def held(self) -> bool:
        return self.state in LEASED

    def move(self, name: str) -> None:
        state = TRANSITIONS[name][self.state]
        if name == "lose" and state is State.QUEUED:
            if self.attempt == MOST_ATTEMPTS:
                state = State.FAILED
            else:
                self.attempt += 1
        self.state = state


class Machine(RuleBasedStateMachine):
    """Two jobs, and all that can happen to them."""

    url = ""

    @initialize()
    def start(self) -> None:
        self.client = connect(self.url)
        self.client.flushall()
        self.store = JobStore(self.client, Settings(lease_seconds=3600, resend_seconds=0.001, max_queued_jobs=50))
        self.known = {job_id: Known() for job_id in JOBS}
        for job_id in JOBS:
            self.store.create(job_id, {"type": "train", "max_attempts": MOST_ATTEMPTS, "spec": {}}, [])

    def teardown(self) -> None:
        if not hasattr(self, "client"):
            return
        for job_id in JOBS:
            self._bring_to_an_end(job_id)
        self.client.close()

    @rule(job_id=some_job, name=st.sampled_from(("cancel", "pause", "resume")))
    def someone_asks(self, job_id: str, name: str) -> None:
        known = self.known[job_id]
        if known.state in TRANSITIONS[name]:
            known.move(name)
            assert self.store.command(job_id, name)["state"] == known.state
        else:
            with pytest.raises(JobStateConflict):
                self.store.command(job_id, name)

    @rule(job_id=some_job)
    def the_request_is_sent_again(self, job_id: str) -> None:
        self.store.create(job_id, {"type": "train", "max_attempts": 99, "spec": {}}, [])

    @rule(job_id=some_job, worker=st.sampled_from(("w1", "w2")))
    def a_message_arrives(self, job_id: str, worker: str) -> None:
        """Perhaps the second of the same job: only a queued one is given, and the token grows."""
        known = self.known[job_id]
        claim = self.store.claim(job_id, worker)
        assert (claim is not None) == (known.state is State.QUEUED)
        if claim is not None:
            assert all(claim.token > old.token for old in known.claims)
            known.claims.append(claim)
            known.reports = 0
            known.move("claim")

    @rule(job_id=some_job, answered=st.booleans())
    def the_holder_reports(self, job_id: str, answered: bool) -> None:
        """When the answer is lost it says the same again; it is written once."""
        known = self.known[job_id]
        if not known.held:
            return
        known.reports += 1
        known.step += 1
        event = Event("metrics", {"step": known.step}, known.step)
        before = self.store.get(job_id)["seq"]
        for _ in range(1 if answered else 2):
            assert (
                self.store.beat(known.claims[-1], known.reports, {"metrics": {"step": known.step}}, [event])
                == known.state
            )
        assert self.store.get(job_id)["seq"] == before + 1

    @rule(job_id=some_job, name=st.sampled_from(("succeed", "fail", "release", "lose")))
    def the_holder_ends(self, job_id: str, name: str) -> None:
        known = self.known[job_id]
        if known.held:
            known.move(name)
            assert self.store.end(known.claims[-1], name) == known.state

    @rule(
        job_id=some_job, which=st.integers(0, 9), name=st.sampled_from(("succeed", "fail", "release", "lose", "beat"))
    )
    def one_that_lost_the_job_comes_back(self, job_id: str, which: int, name: str) -> None:
        known = self.known[job_id]
        old = known.claims[:-1] if known.held else known.claims
        if not old:
            return
        claim, before = old[which % len(old)], self.client.hgetall(keys.job(job_id))
        with pytest.raises(LeaseLost):
            self._write_late(claim, name)
        with pytest.raises(LeaseLost):
            self.store.reserve_version(claim, "m")
        assert self.client.hgetall(keys.job(job_id)) == before

    def _write_late(self, claim: Claim, name: str) -> None:
        if name == "beat":
            self.store.beat(claim, 1000, {"metrics": {"step": -1}}, [Event("log", {"message": "late"})])
        else:
            self.store.end(claim, name, {"metrics": {"step": -1}})

    @rule(job_id=some_job)
    def the_holder_dies(self, job_id: str) -> None:
        """Its lease runs out, and the reaper, in any number, finds it."""
        known = self.known[job_id]
        if known.held:
            self.client.zadd(keys.LEASES, {job_id: 1})
            known.move("lose")
            assert self.store.lapse() == [job_id]
        assert self.store.lapse() == []

    @precondition(lambda self: any(known.held for known in self.known.values()))
    @rule()
    def the_reaper_is_too_early(self) -> None:
        assert self.store.lapse() == []

    @invariant()
    def records_agree(self) -> None:
        if not hasattr(self, "known"):
            return
        for job_id, known in self.known.items():
            job = self.store.get(job_id)
            assert job["state"] == known.state
            assert job["attempt"] == known.attempt
            assert job["token"] == len(known.claims)
            assert ("finished_at" in job) == (known.state in TERMINAL)
            assert ("worker" in job) == known.held
            listed = [state for state in State if self.client.zscore(keys.jobs_in(state), job_id) is not None]
            assert listed == [known.state], "a job is in the index of its state and no other"
            assert (self.client.zscore(keys.LEASES, job_id) is not None) == known.held
            assert (self.client.zscore(keys.UNSENT, job_id) is not None) == (known.state is State.QUEUED)

    @invariant()
    def logs_have_no_gap_and_one_end(self) -> None:
        if not hasattr(self, "known"):
            return
        for job_id, known in self.known.items():
            found = events.read(self.client, job_id)
            assert [event["seq"] for event in found] == list(range(1, len(found) + 1))
            assert [event["type"] for event in found].count("done") == (known.state in TERMINAL)
            steps = [event["data"]["step"] for event in found if event["type"] == "metrics"]
            assert steps == list(range(1, known.step + 1))

    def _bring_to_an_end(self, job_id: str) -> None:
        """Wherever a job is, it can end: by its holder, or by the reaper's message and the next worker."""
        known = self.known[job_id]
        if known.state is State.PAUSED:
            self.someone_asks(job_id, "resume")
        if known.state is State.QUEUED:
            self.client.zadd(keys.UNSENT, {job_id: 1})
            assert job_id in [found for found, _ in self.store.due()], "its message is sent again"
            self.a_message_arrives(job_id, "last")
        self.the_holder_ends(job_id, "succeed")
        assert known.state in TERMINAL
        self.records_agree()
        self.logs_have_no_gap_and_one_end()


def test_whatever_happens_in_whatever_order_the_store_keeps_its_promises(store_url: str) -> None:
    Machine.url = store_url
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
