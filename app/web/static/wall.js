// The wall of jobs, live: states, progress, pictures and the course of the loss. Public API only.
import { el, number, read } from "./page.js";
import { watch } from "./thumbs.js";

const wall = document.getElementById("wall");
const tiles = new Map([...document.querySelectorAll("[data-job]")].map((tile) => [tile.dataset.job, tile]));

async function spark(tile) {
  if (tile.dataset.type !== "train") return;
  const { columns } = await read(`/v1/jobs/${tile.dataset.job}/metrics?max_points=60`);
  const points = (columns.loss ?? []).map((loss, place) => [columns.step[place], loss]).filter(([, loss]) => loss !== null);
  if (points.length < 2) return;
  const values = points.map(([, loss]) => loss);
  const [low, high, end] = [Math.min(...values), Math.max(...values), points.at(-1)[0]];
  const line = points.map(([step, loss]) => `${(100 * step) / end},${28 - (26 * (loss - low)) / (high - low || 1)}`);
  tile.querySelector("polyline").setAttribute("points", line.join(" "));
  tile.dataset.loss = values.at(-1);
}

function picture(tile, { links, progress }) {
  const place = tile.querySelector(".thumb");
  const address = `${links.filters}?scale=1&step=${progress.step}`;
  const old = place.querySelector("img");
  if (old?.getAttribute("src") === address) return;
  const next = new Image();
  next.alt = `Filters at step ${progress.step}`;
  next.addEventListener("load", () => { place.replaceChildren(next); watch(next); });
  next.src = address;
}

function show(tile, job) {
  const state = tile.querySelector(".state");
  state.textContent = job.status;
  state.className = `state ${job.status}`;
  const loss = tile.dataset.loss ? ` · loss ${number(Number(tile.dataset.loss))}` : "";
  tile.querySelector(".progress").textContent = `${Math.round(100 * job.progress.fraction)} %${loss}${job.model ? ` · ${job.model}` : ""}`;
  if ("pictured" in tile.dataset && job.progress.step) picture(tile, job);
  tile.dataset.terminal = job.terminal;
}

// Jobs that are alive are looked at again; a new one is told of, not put under somebody's pointer.
async function update() {
  if (document.hidden || !wall) return;
  const status = wall.dataset.status ? `&status=${wall.dataset.status}` : "";
  const { data } = await read(`/v1/jobs?limit=24${status}`);
  for (const job of data) {
    const tile = tiles.get(job.id);
    if (!tile || (tile.dataset.terminal === "true" && job.terminal)) continue;
    await spark(tile);
    show(tile, job);
  }
  if (data[0] && !tiles.has(data[0].id) && !location.search.includes("after=") && !document.getElementById("newer")) {
    wall.before(el("p", { id: "newer" }, el("a", { className: "button", href: location.href }, "There are newer jobs: show them")));
  }
}

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    spark(target).catch(() => {});
  }
});
for (const tile of tiles.values()) seen.observe(tile);
setInterval(() => update().catch(() => {}), 3000);
