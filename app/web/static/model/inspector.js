// One unit: its filter, its numbers, the units around it, and the inputs that drive it most.
import { byId, el, facts, number, read } from "../page.js";

const share = (value) => (value === null ? "–" : `${number(100 * value)} % of inputs`);

export class Inspector {
  // `chosen(unit)` is called for a click on another unit.
  constructor(model, chosen) {
    this.model = model;
    this.chosen = chosen;
    this.place = byId("inspector");
  }

  async show(unit, { kind, layer }) {
    this.options = new URLSearchParams({ kind, layer });
    this.layer = layer;
    const asked = (this.asked = unit);
    const told = await read(`/v1/models/${this.model}/filters/${unit}?${this.options}&format=json`);
    if (asked !== this.asked) return;
    this.place.replaceChildren(
      el("div", { className: "pair" }, this.#picture(unit, told), el("div", {}, el("h2", { id: "unit-title" }, `Unit ${unit}`), numbers(told))),
      ...this.#patches(told), ...this.#around(told), ...classes(told.classifier),
    );
    this.place.dataset.unit = unit;
  }

  #address(unit, scale) { return `/v1/models/${this.model}/filters/${unit}?${this.options}&scale=${scale}&format=png`; }

  #picture(unit, { shape: [height, width], kind }) {
    const scale = Math.max(1, Math.min(64, Math.floor(168 / Math.max(height, width))));
    return el("img", { className: "sheet", src: this.#address(unit, scale), alt: `${kind} filter of unit ${unit}` });
  }

  #patches({ unit, links }) {
    const title = el("h3", {}, "Inputs that drive it most");
    if (!links.patches) return [title, el("p", { className: "hint" }, "None were kept for this model.")];
    const picture = el("img", { className: "sheet patches", src: `${this.#patchAddress(unit)}&format=png`, alt: `The inputs that drive unit ${unit} most, the strongest first` });
    const said = el("p", { className: "hint" }, "Strongest first, as they are in the data.");
    picture.addEventListener("error", () => { picture.remove(); said.textContent = "No input switches it on."; });
    read(`${this.#patchAddress(unit)}&format=json`).then(({ data, inputs }) => {
      said.textContent = data.length
        ? `${data.length} of ${number(inputs)} inputs, strongest first: ${number(data[0].activation)} to ${number(data.at(-1).activation)}.`
        : `None of ${number(inputs)} inputs switches it on.`;
    }, () => {});
    return [title, picture, said];
  }

  #patchAddress(unit) { return `/v1/models/${this.model}/filters/${unit}/patches?layer=${this.layer}`; }

  #around({ unit: self, neighbours, connections, inhibition, tree, pools }) {
    const lists = [
      ["Most alike, by cosine", neighbours?.map(({ unit, cosine }) => [unit, cosine])],
      ["Connections into it", connections?.incoming.map(({ unit, weight }) => [unit, weight])],
      ["Connections out of it", connections?.outgoing.map(({ unit, weight }) => [unit, weight])],
      ["Held down by", inhibition?.map(({ unit, weight }) => [unit, weight])],
      ["Its parent", tree && tree.parent !== null && tree.parent >= 0 ? [[tree.parent, null]] : null],
      ["Its children", tree?.children.map((unit) => [unit.unit ?? unit, null])],
      ...(pools ?? []).slice(0, 3).map(({ pool, units }) => [`In pool ${pool} with`, units?.map((each) => [each.unit ?? each, each.weight ?? null])]),
    ];
    return lists.filter(([, units]) => units?.length).flatMap(([title, units]) =>
      [el("h3", {}, title), el("div", { className: "chips" }, units.filter(([unit]) => unit !== self).slice(0, 16).map(([unit, value]) => this.#chip(unit, value)))]);
  }

  #chip(unit, value) {
    const chip = el("button", { type: "button", className: "chip", attributes: { "aria-label": `Unit ${unit}${value === null ? "" : `, ${number(value)}`}` } },
      el("img", { src: this.#address(unit, 2), alt: "", loading: "lazy" }), el("span", {}, value === null ? String(unit) : number(Number(value.toPrecision(2)))));
    chip.title = `Unit ${unit}`;
    chip.addEventListener("click", () => this.chosen(unit));
    return chip;
  }
}

function numbers({ norm, usage, orientation_deg: orientation, frequency, position }) {
  const entries = [["Usage", share(usage)], ["Norm", number(norm)]];
  if (orientation !== null) entries.push(["Orientation", `${number(Number(orientation.toFixed(1)))}°`]);
  if (frequency !== null) entries.push(["Frequency", `${number(frequency)} cycles a pixel`]);
  if (position) entries.push(["Lies at", `row ${position.row}, column ${position.column} of the ${position.layout}`]);
  if (position?.field) entries.push(["Sees", `${position.field.height} × ${position.field.width} pixels from (${position.field.top}, ${position.field.left})`]);
  return facts(entries);
}

// Bars to both sides of zero: what the unit says for and against each class.
function classes(weights) {
  if (!weights?.length) return [];
  const most = Math.max(...weights.map(({ weight }) => Math.abs(weight))) || 1;
  const sorted = [...weights].sort((a, b) => a.class - b.class);
  const rows = sorted.map(({ class: name, weight }) => {
    const bar = el("span", { className: weight < 0 ? "bar against" : "bar" });
    bar.style.width = `${(50 * Math.abs(weight)) / most}%`;
    return el("tr", {}, el("th", { scope: "row" }, String(name)), el("td", { className: "track" }, bar), el("td", {}, number(Number(weight.toPrecision(3)))));
  });
  return [el("h3", {}, "What it says for each class"), el("table", { className: "bars" }, el("tbody", {}, rows))];
}
