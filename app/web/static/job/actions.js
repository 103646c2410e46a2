// What can be done with a job in its state: steer it, or ask for the same again.
import { el, post, read } from "../page.js";

const ALLOWED = {
  queued: ["pause", "cancel"], running: ["pause", "cancel"], pausing: ["cancel"], paused: ["resume", "cancel"],
  failed: ["retry"], cancelled: ["retry"],
};
const TITLES = { pause: "Pause", resume: "Resume", cancel: "Cancel", retry: "Run it again" };
const LOOKS = { cancel: "danger", resume: "main", retry: "main" };
const KEPT = {
  train: ["type", "name", "recipe", "dataset", "validation", "publish_as", "max_attempts", "metadata"],
  encode: ["type", "name", "model", "dataset", "layer", "passes", "pool", "stride", "output", "max_attempts", "metadata"],
};

// A request for the same job: what was asked, with its spec as it was resolved.
export function same(job) {
  const kept = KEPT[job.type].filter((name) => job[name] !== null && job[name] !== undefined);
  return { ...Object.fromEntries(kept.map((name) => [name, job[name]])), ...(job.type === "train" ? job.spec : {}) };
}

async function act(action, job) {
  if (action !== "retry") return read(`/v1/jobs/${job.id}/${action}`, { method: "POST" });
  const made = await post("/v1/jobs", same(job));
  location.assign(`/jobs/${made.id}`);
  return job;
}

// Buttons for the state of `job`; `done(job)` gets the new record, `failed(error)` what went wrong.
export function buttons(place, job, done, failed) {
  const names = ALLOWED[job.status] ?? [];
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
