// An image through a model: which filters fire and where, what they rebuild, classes, and the call itself. Public API only.
import { Firing } from "./firing.js";
import { ask, bar, byId, complain, el, number, percent } from "./page.js";
import { decoded, draw, fitted, heat, misfit, pngOf, readNpy } from "./pictures.js";

const MOST_SHOWN = 16;
const page = byId("playground");
const { model, classes, dataset, images } = page.dataset;
const facts = JSON.parse(page.dataset.facts), map = JSON.parse(page.dataset.map);
const state = { body: null, canvas: null, firing: null, unit: null, counts: [], example: 0, latest: 0, rebuilding: 0, waiting: null };
const here = `/v1/models/${model}`;

function passes() {
  return facts.passes && Number(byId("passes").value) !== facts.passes ? { passes: byId("passes").value } : {};
}
// All numbers of the code is no choice: then nothing is left out.
function topk() {
  const chosen = Number(byId("topk").value);
  return chosen === state.counts.length - 1 ? {} : { topk: state.counts[chosen] };
}
const post = (operation, query) => ask(`${here}/${operation}?${new URLSearchParams(query)}`, { method: "POST", body: state.body, headers: { "Content-Type": "image/png" } });
const encoding = () => ({ ...(facts.cuts ? { pool: "none" } : {}), ...passes() });

// A new image: as it is where it fits, else the user says how it is resized.
async function take(blob) {
  const mine = ++state.latest;
  complain(byId("error"), null);
  byId("resize").hidden = true;
  try {
    const image = await decoded(blob);
    if (mine !== state.latest) return;
    const wrong = misfit(image.width, image.height, facts);
    if (!wrong) return await use(image, null);
    byId("resize-text").textContent = `${wrong} How shall it be made to fit?`;
    byId("resize").hidden = false;
    byId("resize-fit").onclick = () => use(image, "fill");
    byId("resize-pad").onclick = () => use(image, "pad");
    byId("resize-fit").focus();
  } catch (error) {
    if (mine === state.latest) complain(byId("error"), error);
  }
}

async function use(image, how) {
  byId("resize").hidden = true;
  const canvas = fitted(image, facts, how), mine = ++state.latest;
  const body = await pngOf(canvas);
  if (mine !== state.latest) return;
  Object.assign(state, { canvas, body, unit: null });
  const done = [];
  if (how) done.push(`${how === "fill" ? "cut to its middle and " : ""}resized from ${image.width} × ${image.height}${how === "pad" ? " with a border" : ""}`);
  if (facts.input_shape[2] === 1) done.push("grey");
  byId("done").textContent = `(${[`${canvas.width} × ${canvas.height}`, ...done].join(", ")})`;
  const shownAs = byId("original");
  Object.assign(shownAs, { width: canvas.width, height: canvas.height });
  shownAs.getContext("2d").drawImage(canvas, 0, 0);
  URL.revokeObjectURL(byId("sent").href);
  byId("sent").href = URL.createObjectURL(body);
  await encode(true);
}

// Features and classes; `fresh` for a new image, whose slider starts at all of the code.
async function encode(fresh = false) {
  const mine = ++state.latest;
  byId("status").textContent = "The model looks at it …";
  try {
    const [answer, found] = await Promise.all([post("encode", { format: "npy", ...encoding() }), classes ? post("classify", { format: "json", ...passes() }) : null]);
    const features = readNpy(await answer.arrayBuffer()), told = found && (await found.json());
    if (mine !== state.latest) return;
    const shape = answer.headers.get("X-Feature-Shape").split(",").map(Number);
    state.firing = new Firing(features.values, shape, facts, map, state.canvas);
    byId("results").hidden = false;
    if (fresh || !state.counts.length) counts();
    units();
    if (told) classed(told);
    calls();
    await rebuild();
    byId("status").textContent = "";
    complain(byId("error"), null);
  } catch (error) {
    if (mine !== state.latest) return;
    byId("status").textContent = "";
    complain(byId("error"), error);
  }
}

// Steps of the slider: every count up to 20, then ever wider apart, at last all that the code has.
function counts() {
  const most = facts.pooled || facts.cuts ? facts.code : Math.min(facts.code, Math.max(1, state.firing.active));
  state.counts = [];
  for (let count = 1; count < most; count = count < 20 ? count + 1 : Math.ceil(count * 1.15)) state.counts.push(count);
  state.counts.push(most);
  Object.assign(byId("topk"), { max: state.counts.length - 1, value: state.counts.length - 1 });
}

function units() {
  const { firing } = state, strongest = firing.strongest(MOST_SHOWN), what = facts.pooled ? "pool" : "unit";
  byId("fires").textContent = `${firing.active} of ${firing.values.length} features are not zero.` + (firing.spreads ? ` Choose a ${what} to see where it fires.` : ` Choose a ${what} to see its filter.`);
  const largest = Math.abs(strongest[0]?.value ?? 0);
  byId("units").replaceChildren(...strongest.map(({ unit, value }) => {
    const picture = facts.pooled ? el("span") : el("img", { src: `${here}/filters/${unit}?format=png`, alt: "", loading: "lazy" });
    return el("li", {}, el("button", { type: "button", className: "row", data: { unit }, attributes: { "aria-pressed": unit === state.unit, "aria-label": `${what} ${unit}, ${number(value)}` }, onclick: () => choose(unit === state.unit ? null : unit) },
      picture, el("span", {}, `${what} ${unit}`), bar(value, largest), el("span", { className: "value" }, number(value))));
  }));
  choose(strongest.some(({ unit }) => unit === state.unit) ? state.unit : null);
}

function choose(unit) {
  state.unit = unit;
  for (const button of byId("units").querySelectorAll("button")) button.setAttribute("aria-pressed", Number(button.dataset.unit) === unit && unit !== null);
  byId("chosen")?.remove();
  const place = byId("heat"), { firing, canvas } = state;
  place.hidden = unit === null || !firing.spreads;
  if (unit === null) return;
  if (!place.hidden) heat(place, canvas.width, canvas.height, firing.cells(unit));
  place.setAttribute("aria-label", `Where ${facts.pooled ? "pool" : "unit"} ${unit} fires`);
  if (facts.pooled) return;
  const link = el("a", { href: `/models/${model}?unit=${unit}` }, `All about unit ${unit}`);
  byId("fires").append(el("span", { id: "chosen" }, " ", link));
}

function classed({ classes: names, probabilities: [shares] }) {
  byId("classes-part").hidden = false;
  const sorted = names.map((name, at) => [String(name), shares[at]]).sort((a, b) => b[1] - a[1]).slice(0, 10);
  byId("classes").replaceChildren(...sorted.map(([name, share]) =>
    el("li", {}, el("span", { className: "row plain" }, el("span", {}, name), bar(share, 1), el("span", { className: "value" }, percent(share))))));
}

async function rebuild() {
  const mine = ++state.rebuilding, { topk: count } = topk(), each = facts.cuts ? " of each patch" : "";
  const text = count ? `the ${count} strongest${each}` : "the whole code";
  byId("topk-shown").textContent = text;
  byId("topk").setAttribute("aria-valuetext", text);
  const found = await (await post("reconstruct", { format: "json", ...topk(), ...passes() })).json();
  if (mine !== state.rebuilding) return;
  draw(byId("rebuilt"), found.data[0]);
  byId("rebuilt-from").textContent = text;
  byId("unexplained").textContent = `${percent(found.unexplained_variance[0])} unexplained variance`;
}

function calls() {
  const origin = location.origin, both = (extra) => new URLSearchParams(extra).toString();
  const line = (operation, extra) => `curl --data-binary @image.png -H 'Content-Type: image/png' \\\n  '${origin}${here}/${operation}${both(extra) && "?"}${both(extra)}'`;
  const lines = [line("encode", encoding()), line("reconstruct", { format: "png", ...topk(), ...passes() }) + " -o rebuilt.png"];
  if (classes) lines.push(line("classify", passes()));
  byId("curl-code").textContent = lines.join("\n");
  const given = (extra) => Object.entries(extra).map(([name, value]) => `, ${name}=${Number.isNaN(Number(value)) ? JSON.stringify(value) : value}`).join("");
  const python = ["import pinwheel", "", `model = pinwheel.Client(${JSON.stringify(origin)}).model(${JSON.stringify(model)})`,
    `features = model.encode("image.png"${given(encoding())})`, `rebuilt = model.reconstruct("image.png"${given({ ...passes(), ...topk() })})`];
  if (classes) python.push(`print(model.classify("image.png"${given(passes())}).predictions)`);
  byId("python-code").textContent = python.join("\n");
}

// Sliders: the number at once, the model when the hand rests.
function later(action) {
  clearTimeout(state.waiting);
  state.waiting = setTimeout(() => action().catch((error) => complain(byId("error"), error)), 120);
}
byId("topk").addEventListener("input", () => { calls(); later(rebuild); });
if (facts.passes) {
  byId("passes-row").hidden = false;
  Object.assign(byId("passes"), { max: Math.min(200, Math.max(2, 2 * facts.passes)), value: facts.passes });
  const say_passes = () => { byId("passes-shown").textContent = `${byId("passes").value}${passes().passes ? "" : ", as trained"}`; };
  say_passes();
  byId("passes").addEventListener("input", () => { say_passes(); later(() => encode()); });
}

const drop = byId("drop");
document.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over-it"); });
document.addEventListener("dragleave", (event) => event.relatedTarget ?? drop.classList.remove("over-it"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over-it");
  if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
});
document.addEventListener("paste", (event) => event.clipboardData.files[0] && take(event.clipboardData.files[0]));
byId("file").addEventListener("change", ({ target }) => { if (target.files[0]) take(target.files[0]); target.value = ""; });
byId("example")?.addEventListener("click", async () => {
  try {
    const row = (state.example++ * 7919) % Number(images);
    take(await (await ask(`/v1/datasets/${dataset}/images/${row}?format=png`)).blob());
  } catch (error) {
    complain(byId("error"), error);
  }
});
document.querySelector("#model-form select").addEventListener("change", ({ target }) => target.form.submit());
for (const button of document.querySelectorAll("[data-copy]")) {
  const text = button.textContent;
  button.addEventListener("click", async () => {
    const code = byId(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch { // no clipboard without a secure address: the text is chosen, for the keys
      getSelection().selectAllChildren(code);
      button.textContent = "Chosen: press Ctrl C";
    }
    setTimeout(() => { button.textContent = text; }, 2000);
  });
}
