// A model: its filters to choose from, one of them in depth, its maps and files. Public API only.
import { byId, complain, facts, number, read, words } from "../page.js";
import { Inspector } from "./inspector.js";
import { gallery } from "./maps.js";
import { Sheet } from "./sheet.js";

const { model, top, order } = byId("model").dataset;
const controls = byId("controls");
const usual = { order, layer: top, kind: "decoder" };
const sheet = new Sheet(model, choose);
const inspector = new Inspector(model, choose);
let unit;

const options = () => Object.fromEntries(Object.keys(usual).map((name) => [name, controls.elements[name]?.value ?? usual[name]]));

// The address holds the unit and what differs from the usual view.
function writeAddress() {
  const held = Object.entries(options()).filter(([name, value]) => value !== usual[name]);
  const query = new URLSearchParams(unit === undefined ? held : [["unit", unit], ...held]);
  history.replaceState(null, "", `${location.pathname}${query.size ? `#${query}` : ""}`);
}

async function choose(chosen) {
  unit = chosen;
  controls.elements.unit.value = unit;
  sheet.select(unit);
  writeAddress();
  await attempt(() => inspector.show(unit, options()));
}

async function attempt(act) {
  try {
    await act();
    complain(byId("refused"), null);
  } catch (error) {
    complain(byId("refused"), error);
  }
}

async function view() {
  writeAddress();
  await attempt(async () => {
    await sheet.show(options());
    controls.elements.unit.max = sheet.units - 1;
    if (unit !== undefined) await inspector.show(Math.min(unit, sheet.units - 1), options());
  });
}

function readAddress() {
  const held = new URLSearchParams(location.hash.slice(1));
  for (const name of Object.keys(usual)) if (held.has(name) && controls.elements[name]) controls.elements[name].value = held.get(name);
  unit = /^\d+$/.test(held.get("unit") ?? "") ? Number(held.get("unit")) : undefined;
  if (unit !== undefined) { controls.elements.unit.value = unit; sheet.select(unit); }
}

controls.addEventListener("submit", (event) => event.preventDefault());
controls.addEventListener("change", ({ target }) => {
  if (target.name !== "unit") view();
  else if (target.value !== "" && target.checkValidity()) choose(Number(target.value));
});
addEventListener("hashchange", () => { readAddress(); view(); });

byId("delete").addEventListener("click", () => byId("confirm").showModal());
byId("confirm").addEventListener("close", async () => {
  if (byId("confirm").returnValue !== "delete") return;
  await attempt(async () => {
    const answer = await fetch(`/v1/models/${model}`, { method: "DELETE" });
    if (!answer.ok) throw new Error((await answer.json()).detail);
    location.assign("/models");
  });
});

readAddress();
view();
read(`/v1/models/${model}`).then((record) => {
  byId("maps").replaceChildren(...gallery(record.maps, model));
  byId("metrics").replaceChildren(facts(Object.entries(record.metrics).map(([name, value]) => [words(name), number(value)])));
});
