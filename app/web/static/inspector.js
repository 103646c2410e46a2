// One unit: its filter, numbers, the inputs that drive it most, its neighbours and what it says of classes.
import { asked, bar, byId, element, facts, percent, shown } from "./elements.js";

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
      const told = await (await asked(`${here}?${query}&format=json`)).json();
      if (mine === this.latest) this.place.replaceChildren(...this.parts(told, `${here}?${query}&format=png`));
      this.place.dataset.unit = unit;
    } catch (error) {
      if (mine === this.latest) this.place.replaceChildren(element("p", { class: "notice", role: "alert" }, error.message));
    }
  }

  parts(told, picture) {
    const { unit } = told;
    return [
      element("h3", {}, `Unit ${unit}`),
      element("div", { class: "unit-top" },
        element("img", { class: "enlarged-filter", src: picture, alt: `Filter of unit ${unit}, enlarged` }),
        element("dl", { class: "facts" }, ...facts(this.numbers(told)))),
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
      ["orientation", orientation === null ? null : `${shown(orientation)}°`],
      ["frequency", frequency === null ? null : `${shown(frequency)} / pixel`],
      ["place", place], ["pools", pools?.length ? pools.length : null],
    ];
  }

  patches({ unit, links }) {
    if (!links.patches) return [];
    const address = `${links.patches}${links.patches.includes("?") ? "&" : "?"}format=png&cols=8`;
    return [element("h4", {}, "Strongest inputs"), element("img", { class: "patches", src: address, alt: `The inputs that drive unit ${unit} most` })];
  }

  // Buttons that go on to other units, with their filters and how strong each is.
  others(title, list, amount) {
    if (!list?.length) return [];
    const buttons = list.filter(({ unit }) => this.sheet.place.has(unit)).map((other) => this.button(other.unit, shown(other[amount], 2)));
    return [element("h4", {}, `${title} (${amount})`), element("div", { class: "neighbours" }, ...buttons)];
  }

  button(unit, text) {
    return element("button", { type: "button", "aria-label": `Unit ${unit}, ${text}`, onclick: () => this.choose(unit) }, this.sheet.cut(unit), text);
  }

  family(tree) {
    if (!tree) return [];
    const { parent, children } = tree;
    const related = [...(parent === null ? [] : [[parent, "parent"]]), ...children.slice(0, 24).map((child) => [child, "child"])];
    return [element("h4", {}, "In the tree"), element("div", { class: "neighbours" }, ...related.map(([unit, text]) => this.button(unit, text)))];
  }

  classes(weights) {
    if (!weights) return [];
    const largest = Math.max(...weights.map(({ weight }) => Math.abs(weight)));
    const rows = weights.map(({ class: name, weight }) =>
      element("li", {}, element("span", { class: "row plain" }, element("span", {}, String(name)), bar(weight, largest), element("span", { class: "value" }, shown(weight)))));
    return [element("h4", {}, "Weight for each class"), element("ol", { class: "bars classifier" }, ...rows)];
  }
}
