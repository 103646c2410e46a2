// One job: its record, its pictures and its curves at one moment, live. Public API only.
import { byId, complain, duration, el, gathered, number, read, words } from "../page.js";
import { gallery } from "../maps.js";
import { buttons } from "./actions.js";
import { Curves } from "./curves.js";
import { History } from "./history.js";
import { Pictures } from "./pictures.js";
import { Timeline } from "./timeline.js";
import { TimeBar } from "./time_bar.js";

const { job, type } = byId("job").dataset;
let events;

function show(record) {
  byId("state").textContent = record.status;
  byId("state").className = `state ${record.status}`;
  byId("progress").value = record.progress.fraction;
  byId("progress-text").textContent = progress(record);
  byId("error").hidden = !record.error;
  byId("error").textContent = record.error ? reason(record.error) : "";
  buttons(byId("actions"), record, show, (error) => complain(byId("refused"), error));
  if (record.model) published(record);
}

const reason = ({ code, detail, hint }) => `${detail} (${code})${hint ? ` · ${hint}` : ""}`;

function progress({ progress: { step, total_steps: total, samples_per_second: rate, eta }, ...record }) {
  const parts = [`step ${number(step)} of ${total === null ? "?" : number(total)}`];
  if (record.queue_position) parts.push(`place ${record.queue_position} in the queue`);
  if (rate) parts.push(`${number(Math.round(rate))} images a second`);
  if (eta && !record.terminal) parts.push(`done at about ${new Date(eta).toLocaleTimeString()}`);
  if (record.terminal && record.started_at) parts.push(`took ${duration((new Date(record.finished_at) - new Date(record.started_at)) / 1000)}`);
  if (record.attempt > 1) parts.push(`attempt ${record.attempt} of ${record.max_attempts}`);
  if (record.status_reason) parts.push(words(record.status_reason));
  return parts.join(" · ");
}

// What the published model has besides its filters, once.
let mapped;
async function published({ model, status, links }) {
  const page = `/models/${model}`;
  byId("model").replaceChildren(" · model ", el("a", { href: page }, model));
  if (status !== "succeeded" || mapped === model) return;
  mapped = model;
  if (type === "encode") {
    byId("outcome").replaceChildren(el("a", { className: "button main", href: links.result }, "Download the features"));
    return;
  }
  byId("outcome").replaceChildren(
    el("a", { className: "button main", href: page }, "Look at its units"),
    el("a", { className: "button", href: `/playground?model=${encodeURIComponent(model)}` }, "Try it on an image"),
  );
  const { maps } = await read(`/v1/models/${model}`);
  byId("maps").hidden = !Object.keys(maps).length;
  byId("maps").querySelector(".gallery").replaceChildren(...gallery(maps, model, JSON.parse(byId("maps").dataset.seen)));
}

const refresh = async () => {
  try { show(await read(`/v1/jobs/${job}`)); } catch { /* asked again with the next event */ }
};
const refreshSoon = gathered(refresh, 400);

function alertOf({ data, time }) {
  const text = data.detail ?? data.message ?? data.text ?? JSON.stringify(data);
  byId("alerts").append(el("p", { className: "alert" }, `${new Date(time).toLocaleTimeString()} ${text}`));
}

// The log of the job behind event `after`, as a stream; a browser that loses it takes it up again where it was.
function listen(handlers, after = 0) {
  events = new EventSource(`/v1/jobs/${job}/events?after=${after}`);
  for (const [name, handle] of Object.entries(handlers)) {
    events.addEventListener(name, (event) => handle(event.data ? JSON.parse(event.data) : {}));
  }
  events.addEventListener("status", refreshSoon);
  events.addEventListener("alert", (event) => alertOf(JSON.parse(event.data)));
  events.addEventListener("done", () => { events.close(); refreshSoon(); });
}

function draw(bitmap, step) {
  const canvas = byId("filters");
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
    Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
    fit();
  }
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  canvas.dataset.step = step;
  byId("step").textContent = number(step);
  byId("waiting").hidden = true;
}

// Whole screen pixels for each pixel of a filter, unless that wastes much of the room.
function fit() {
  const canvas = byId("filters");
  const room = canvas.parentElement.clientWidth;
  const tall = Math.max(320, innerHeight * 0.74);
  const most = Math.min(room / canvas.width, tall / canvas.height);
  const whole = Math.floor(most);
  canvas.style.width = `${Math.floor((whole > 0.8 * most ? whole : most) * canvas.width)}px`;
}

async function training() {
  const history = new History();
  const time = new Timeline();
  const pictures = new Pictures(job, draw);
  const curves = new Curves(byId("curves"), history, (step) => time.go(step));
  const bar = new TimeBar(time, (step) => {
    pictures.want(time.picture, time.pictures);
    curves.point(step);
  });
  const redraw = gathered(() => curves.draw(time.end), 500);
  addEventListener("themechange", redraw);
  addEventListener("resize", fit);
  const { terminal } = await read(`/v1/jobs/${job}`);
  const told = await read(`/v1/jobs/${job}/metrics`);
  history.load(told.columns);
  for (const step of told.pictures) time.addPicture(step);
  time.extend(Math.max(0, history.last));
  curves.draw(time.end);
  bar.readAddress();
  const end = () => { clearInterval(timer); bar.end(); };
  if (terminal) { end(); return; }
  listen({
    metrics: ({ data }) => {
      if (!history.append(data)) return;
      time.extend(data.step);
      redraw();
      refreshSoon();
    },
    preview: ({ data }) => { time.addPicture(data.step); redraw(); },
    done: end,
    error: () => { if (events.readyState === EventSource.CLOSED) end(); }, // it ended meanwhile: nothing is left to say
  }, told.last_event);
}

const timer = setInterval(() => { if (!document.hidden) refresh(); }, 2500);
refresh();
if (type === "train") training().catch((error) => complain(byId("refused"), error));
else listen({ metrics: refreshSoon, log: refreshSoon, done: () => clearInterval(timer) });
