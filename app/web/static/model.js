// The page of one model: the sheet of filters, the inspector, maps in tabs, and deletion. Public API only.
import { Inspector } from "./inspector.js";
import { ask, byId, complain, el, number, read } from "./page.js";
import { Sheet } from "./sheet.js";

const { model, topographic } = byId("model").dataset;
const address = new URL(location.href);
const form = byId("sheet-form");

function remember(name, value) {
  if (value === null) address.searchParams.delete(name);
  else address.searchParams.set(name, value);
  history.replaceState(null, "", address);
}

// Selects take what the address says, where they have it.
const first = address.searchParams.get("order") ?? (topographic === "true" ? "topographic" : "index");
for (const [name, value] of [["order", first], ["kind", address.searchParams.get("kind")], ["layer", address.searchParams.get("layer")]]) {
  const options = form.elements[name]?.options ?? [];
  if ([...options].some((option) => option.value === value)) form.elements[name].value = value;
}
const query = (...names) => new URLSearchParams(names.filter((name) => form.elements[name]).map((name) => [name, form.elements[name].value]));

const sheet = new Sheet(model, (unit) => {
  remember("unit", unit);
  inspector.show(unit, query("kind", "layer"));
});
const inspector = new Inspector(model, sheet, (unit) => sheet.choose(unit));

async function show() {
  try {
    await sheet.show(query("order", "kind", "layer"));
    complain(byId("sheet-error"), null);
    const wanted = sheet.unit ?? Number.parseInt(address.searchParams.get("unit"), 10);
    if (Number.isInteger(wanted)) sheet.choose(wanted);
  } catch (error) {
    complain(byId("sheet-error"), error);
    if (form.elements.kind.value === "encoder") form.elements.kind.value = "decoder";
  }
}
form.addEventListener("change", (event) => {
  remember(event.target.name, event.target.value);
  if (event.target.name === "layer") sheet.unit = null;
  show();
});
form.addEventListener("submit", (event) => event.preventDefault());
show();

// Tabs: one is in the tab order, arrow keys move between them.
const tabs = [...document.querySelectorAll("[role=tab]")];
async function open(tab) {
  for (const each of tabs) {
    each.setAttribute("aria-selected", each === tab);
    each.tabIndex = each === tab ? 0 : -1;
  }
  const { kind, address: here, seen } = tab.dataset;
  byId("map-panel").setAttribute("aria-labelledby", tab.id);
  byId("map-seen").textContent = seen;
  const picture = byId("map-picture");
  picture.alt = `The map ${kind} of ${model}`;
  picture.src = `${here}?format=png`;
  byId("map-link").href = `${here}?format=svg`;
  byId("map-link").setAttribute("aria-label", `${kind} as SVG, larger`);
  byId("map-svg").href = `${here}?format=svg`;
  byId("map-json").href = `${here}?format=json`;
  const rows = kind === "orientation" ? await orientation(here) : [];
  if (tab.getAttribute("aria-selected") === "true") byId("map-facts").replaceChildren(...rows);
}

const MEASURED = [
  ["num_pinwheels", "pinwheels"], ["pinwheels_per_unit", "pinwheels for each unit"], ["spacing_units", "spacing of columns Λ, in units"],
  ["pinwheel_density", "density: pinwheels in Λ² (π in many animals)"], ["opposite_neighbours", "share of pinwheels next to one of the other sign"],
  ["neighbour_orientation_difference_deg", "difference between neighbours, in degrees"],
];

// How many pinwheels there are, and as a control what maps of the same units at random places have.
async function orientation(here) {
  try {
    const found = await read(`${here}?format=json`);
    const rows = MEASURED.map(([name, plain]) => el("tr", {}, el("th", { scope: "row" }, plain), ...[found, found.shuffled].map((each) => el("td", {}, number(each[name])))));
    const head = ["", "this map", "the same units shuffled"].map((text) => el(text ? "th" : "td", text ? { scope: "col" } : {}, text));
    const about = `${found.oriented_units} units have an orientation; their mean selectivity is ${number(found.mean_selectivity)}.`;
    return [el("p", {}, about), el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows))];
  } catch (error) {
    return [el("p", { className: "notice", attributes: { role: "alert" } }, error.message)];
  }
}
for (const [number, tab] of tabs.entries()) {
  tab.addEventListener("click", () => { remember("map", tab.dataset.kind); open(tab); });
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(number + step + tabs.length) % tabs.length];
    next.focus();
    next.click();
    event.preventDefault();
  });
}
const named = tabs.find((tab) => tab.dataset.kind === address.searchParams.get("map"));
if (tabs.length) open(named ?? tabs[0]);

const dialog = byId("delete-dialog");
byId("delete").addEventListener("click", () => dialog.showModal());
byId("delete-now").addEventListener("click", async () => {
  try {
    await ask(`/v1/models/${model}`, { method: "DELETE" });
    location.assign("/models");
  } catch (error) {
    complain(byId("delete-error"), error);
  }
});
