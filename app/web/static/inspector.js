// One unit: its filter, numbers, the inputs that drive it most, its neighbours and what it says of classes.
import { bar, byId, el, facts, number, percent, read } from "./page.js";

export class Inspector {
  constructor(model, sheet, choose) {
    Object.assign(this, { model, sheet, choose, latest: 0 });
    this.place = byId("inspector");
  }

  // Only the unit that was asked for last is shown, whatever order answers come in.
  async show(unit, query) {
    const mine = ++this.latest;
    try {
      const here = `/v1/models/${this.model}/filters/${unit}`;
      const told = await read(`${here}?${query}&format=json`);
      if (mine === this.latest) this.place.replaceChildren(...this.parts(told, `${here}?${query}&format=png`));
      this.place.dataset.unit = unit;
    } catch (error) {
      if (mine === this.latest) this.place.replaceChildren(el("p", { className: "notice", attributes: { role: "alert" } }, error.message));
    }
  }

  parts(told, picture) {
    const { unit } = told;
    return [
      el("h3", {}, `Unit ${unit}`),
      el("div", { className: "unit-top" },
        el("img", { className: "enlarged-filter", src: picture, alt: `Filter of unit ${unit}, enlarged` }),
        facts(this.numbers(told))),
      ...this.patches(told),
      ...this.others("Neighbours by their filters", told.neighbours, "cosine"),
      ...this.others("Inhibits most", told.inhibition, "weight"),
      ...this.others("Input from units", told.connections?.incoming, "weight"),
      ...this.others("Output to units", told.connections?.outgoing, "weight"),
      ...this.family(told.tree),
      ...this.classes(told.classifier),
    ];
  }

  numbers({ norm, usage, orientation_deg: orientation, frequency, position, pools }) {
    const place = position && `row ${position.row}, column ${position.column}`;
    return [
      ["used by", percent(usage)], ["norm", norm],
      ["orientation", orientation === null ? null : `${number(orientation)}°`],
      ["frequency", frequency === null ? null : `${number(frequency)} / pixel`],
      ["place", place], ["pools", pools?.length ? pools.length : null],
    ];
  }

  patches({ unit, links }) {
    if (!links.patches) return [];
    const address = `${links.patches}${links.patches.includes("?") ? "&" : "?"}format=png&cols=8`;
    return [el("h4", {}, "Strongest inputs"), el("img", { className: "patches", src: address, alt: `The inputs that drive unit ${unit} most` })];
  }

  // Buttons that go on to other units, with their filters and how strong each is.
  others(title, list, amount) {
    if (!list?.length) return [];
    const buttons = list.filter(({ unit }) => this.sheet.place.has(unit)).map((other) => this.button(other.unit, number(other[amount])));
    return [el("h4", {}, `${title} (${amount})`), el("div", { className: "neighbours" }, ...buttons)];
  }

  button(unit, text) {
    return el("button", { type: "button", attributes: { "aria-label": `Unit ${unit}, ${text}` }, onclick: () => this.choose(unit) }, this.sheet.cut(unit), text);
  }

  family(tree) {
    if (!tree) return [];
    const { parent, children } = tree;
    const related = [...(parent === null ? [] : [[parent, "parent"]]), ...children.slice(0, 24).map((child) => [child, "child"])];
    return [el("h4", {}, "In the tree"), el("div", { className: "neighbours" }, ...related.map(([unit, text]) => this.button(unit, text)))];
  }

  classes(weights) {
    if (!weights) return [];
    const largest = Math.max(...weights.map(({ weight }) => Math.abs(weight)));
    const rows = weights.map(({ className: name, weight }) =>
      el("li", {}, el("span", { className: "row plain" }, el("span", {}, String(name)), bar(weight, largest), el("span", { className: "value" }, number(weight)))));
    return [el("h4", {}, "Weight for each class"), el("ol", { className: "bars classifier" }, ...rows)];
  }
}
