// Whether the service is ready, who works for it, and what it takes. Public API only.
import { byId, bytes, el, facts, number, read, words } from "./page.js";

async function readiness() {
  const { status, checks } = await (await fetch("/readyz")).json();
  byId("ready").textContent = words(status);
  byId("ready").className = `state ${status === "ready" ? "succeeded" : "failed"}`;
  byId("checks").replaceChildren(facts(Object.entries(checks).map(([name, said]) => [name.replace(":", ": "), said])));
}

async function workers() {
  const { data } = await read("/v1/workers");
  const rows = data.map((worker) => el("tr", {}, el("td", {}, worker.name), el("td", {}, worker.queues.join(", ")), el("td", {}, worker.device),
    el("td", {}, bytes(worker.memory_bytes)), el("td", {}, String(worker.threads)),
    el("td", {}, worker.job ? el("a", { href: `/jobs/${worker.job}` }, worker.job) : "idle"), el("td", {}, new Date(worker.started_at).toLocaleString())));
  byId("workers").replaceChildren(...(rows.length ? rows : [el("tr", {}, el("td", { colSpan: 7 }, "No worker is alive: nothing can be trained or encoded."))]));
}

async function about() {
  const { version, limits, formats } = await read("/v1/info");
  byId("limits").replaceChildren(facts(Object.entries(limits).map(([name, value]) => [words(name), name.endsWith("_bytes") ? bytes(value) : number(value)])));
  byId("about").replaceChildren(facts([["version", version], ...Object.entries(formats).map(([name, all]) => [words(name), all.join(", ")])]));
}

const update = () => Promise.all([readiness(), workers()]).catch(() => { byId("ready").textContent = "does not answer"; });
about();
update();
setInterval(() => document.hidden || update(), 3000);
