// One job, live: its event stream moves the progress bar, the filters and the curves. Public API only.
const article = document.querySelector("#job");
const job = article.dataset.job;
const shown = ["unexplained_variance", "classification_error", "loss", "l0"];
const history = new Map(shown.map((name) => [name, []]));
const byId = (id) => document.getElementById(id);

async function refresh() {
  const answer = await fetch(`/v1/jobs/${job}`);
  if (!answer.ok) return;
  const record = await answer.json();
  const { step, total_steps: total, fraction, samples_per_second: rate, eta } = record.progress;
  byId("state").textContent = record.status;
  byId("state").className = `state ${record.status}`;
  byId("progress").value = fraction;
  const rest = eta ? `, done about ${new Date(eta).toLocaleTimeString()}` : "";
  byId("progress-text").textContent =
    `step ${step} of ${total ?? "?"}${rate ? `, ${Math.round(rate)} images a second` : ""}${record.terminal ? "" : rest}`;
  byId("error").hidden = !record.error;
  byId("error").textContent = record.error?.detail ?? "";
  if (record.model && article.dataset.type === "train") {
    const link = document.createElement("a");
    link.href = `/v1/models/${record.model}`;
    link.textContent = record.model;
    byId("model").replaceChildren(" · model ", link);
    maps(record.model);
  }
}

// What the published model has besides its filters, once.
let mapped;
async function maps(model) {
  if (mapped === model) return;
  mapped = model;
  const answer = await fetch(`/v1/models/${model}`);
  if (!answer.ok) return;
  const figures = Object.entries((await answer.json()).maps).map(([kind, address]) => {
    const figure = document.createElement("figure");
    const link = document.createElement("a");
    const image = document.createElement("img");
    const caption = document.createElement("figcaption");
    link.href = address;
    Object.assign(image, { src: address, alt: `${kind} of ${model}`, loading: "lazy" });
    caption.textContent = kind;
    link.append(image);
    figure.append(link, caption);
    return figure;
  });
  byId("maps").replaceChildren(...figures);
}

function draw(name, points) {
  const id = `curve-${name}`;
  let figure = byId(id);
  if (!figure) {
    figure = document.createElement("figure");
    figure.id = id;
    figure.className = "curve";
    figure.innerHTML = `<svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img"><polyline/></svg><figcaption></figcaption>`;
    byId("curves").append(figure);
  }
  const values = points.map(([, value]) => value);
  const low = Math.min(...values), high = Math.max(...values), last = points.at(-1);
  const line = points.map(([step, value]) => `${(100 * step) / (last[0] || 1)},${38 - (36 * (value - low)) / (high - low || 1)}`);
  figure.querySelector("polyline").setAttribute("points", line.join(" "));
  figure.querySelector("svg").setAttribute("aria-label", `${name} over the steps`);
  figure.querySelector("figcaption").textContent = `${name.replaceAll("_", " ")}: ${last[1].toPrecision(4)}`;
}

// Each stage of a stack has measures of its own.
let stage;
function take(metrics) {
  if (metrics.stage !== stage) for (const points of history.values()) points.length = 0;
  stage = metrics.stage;
  for (const name of shown) {
    if (typeof metrics[name] !== "number") continue;
    history.get(name).push([metrics.step, metrics[name]]);
  }
}

function redraw() {
  for (const [name, points] of history) if (points.length) draw(name, points);
}

async function picture() {
  const image = byId("filters");
  if (!image) return;
  const answer = await fetch(`/v1/jobs/${job}/filters`);
  if (!answer.ok) return;
  byId("step").textContent = answer.headers.get("X-Step");
  const old = image.src;
  image.onload = () => {
    image.classList.toggle("reduced", image.naturalWidth > image.clientWidth);
    if (old.startsWith("blob:")) URL.revokeObjectURL(old);
  };
  image.src = URL.createObjectURL(await answer.blob());
}

// Many events at once, as in a replay, are one update of the page.
function gathered(update) {
  let due = false;
  return () => {
    if (due) return;
    due = true;
    setTimeout(() => { due = false; update(); }, 300);
  };
}
const soon = gathered(() => { redraw(); refresh(); });
const pictureSoon = gathered(picture);

refresh();
picture();
const events = new EventSource(`/v1/jobs/${job}/events`);
events.addEventListener("metrics", (event) => { take(JSON.parse(event.data).data); soon(); });
events.addEventListener("preview", pictureSoon);
events.addEventListener("status", () => soon());
events.addEventListener("done", () => { events.close(); pictureSoon(); soon(); });
const timer = setInterval(() => { refresh(); if (events.readyState === EventSource.CLOSED) clearInterval(timer); }, 2000);
