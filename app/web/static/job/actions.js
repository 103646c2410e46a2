// What can be done with a job in its state: steer it, or ask for the same again.
import { el, post, read } from "../page.js";

const ALLOWED = {
  queued: ["pause", "cancel"], running: ["pause", "cancel"], pausing: ["cancel"], paused: ["resume", "cancel"],
  failed: ["retry"], cancelled: ["retry"],
};
const TITLES = { pause: "Pause", resume: "Resume", cancel: "Cancel", retry: "Run it again", change: "Go on with other settings" };
const LOOKS = { cancel: "danger", resume: "main", retry: "main" };
const KEPT = {
  train: ["type", "name", "recipe", "dataset", "validation", "publish_as", "max_seconds", "max_attempts", "keep_checkpoint", "metadata"],
  encode: ["type", "name", "model", "dataset", "layer", "passes", "pool", "stride", "output", "max_attempts", "metadata"],
};

// A request for the same job: what was asked, with its spec as it was resolved.
export function same(job) {
  const kept = KEPT[job.type].filter((name) => job[name] !== null && job[name] !== undefined);
  return { ...Object.fromEntries(kept.map((name) => [name, job[name]])), ...(job.type === "train" ? settings(job.spec) : {}) };
}

// What is asked for with a spec: stages that were there before it come with the model that they are put on.
function settings({ preprocessing, ...spec }) {
  const below = spec.stages?.[0].taken_from;
  if (!below) return { preprocessing, ...spec };
  return { ...spec, on_top_of: below, stages: spec.stages.filter((stage) => !stage.taken_from) };
}

// What the state of a job allows; from a checkpoint that it left, a new job may go on.
function allowed({ status, type, checkpoint_step: step }) {
  const resting = ["paused", "failed", "cancelled", "succeeded"].includes(status);
  return [...(ALLOWED[status] ?? []), ...(type === "train" && resting && step !== null ? ["change"] : [])];
}

async function act(action, job) {
  if (action === "change") { location.assign(`/new#resume_from=${job.id}`); return job; }
  if (action !== "retry") return read(`/v1/jobs/${job.id}/${action}`, { method: "POST" });
  const made = await post("/v1/jobs", same(job));
  location.assign(`/jobs/${made.id}`);
  return job;
}

// Buttons for the state of `job`; `done(job)` gets the new record, `failed(error)` what went wrong.
export function buttons(place, job, done, failed) {
  const names = allowed(job);
  if (place.dataset.shown === names.join()) return;
  place.dataset.shown = names.join();
  place.replaceChildren(...names.map((name) => {
    const button = el("button", { type: "button", className: LOOKS[name] ?? "", data: { action: name } }, TITLES[name]);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try { done(await act(name, job)); } catch (error) { failed(error); } finally { button.disabled = false; }
    });
    return button;
  }));
}
