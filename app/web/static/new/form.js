// A form from a JSON Schema: a field for each setting, grouped by part, with its description and its bounds.
import { el, words } from "../page.js";
import { defaults, fitting, kinds, plain } from "./schema.js";

const LAST = ["preprocessing", "resources"];
const inOrder = (names) => [...names.filter((name) => !LAST.includes(name)), ...names.filter((name) => LAST.includes(name))];
const prose = (description) => description?.replaceAll("`", "");

export class SpecForm {
  // `changed()` is called after every change of `value`.
  constructor(place, changed) {
    this.place = place;
    this.changed = changed;
  }

  // Shows the fields of `schema` with a copy of `value`.
  show(schema, value) {
    this.root = schema;
    this.value = structuredClone(value);
    this.usual = value;
    this.made = 0;
    this.place.replaceChildren(...inOrder(Object.keys(schema.properties)).flatMap((name) =>
      this.#field(name, schema.properties[name], this.value, `#/${name}`, 0)));
  }

  // The defaults of a part of another kind, for `changes`.
  ofKind(kind, path) {
    return defaults(this.schemas.get(`${path}:${kind}`), this.root);
  }

  schemas = new Map();

  #field(name, schema, owner, pointer, depth) {
    const value = owner[name];
    const found = fitting(plain(schema, this.root, value), this.root, value);
    if (name === "kind" || name === "taken_from" || found.const !== undefined) return [];
    const named = kinds(found, this.root);
    if (named) return [this.#choice(name, found, named, owner, pointer, depth)];
    if (found.type === "array" && Array.isArray(value) && value.some((each) => typeof each === "object")) {
      return value.flatMap((_, place) => this.#field(place, found.items, value, `${pointer}/${place}`, depth));
    }
    if (found.properties && value) return [this.#group(name, found, value, pointer, depth)];
    return [this.#input(name, found, owner, pointer)];
  }

  #title(name) { return typeof name === "number" ? `stage ${name}` : words(name); }

  #fields(schema, value, pointer, depth) {
    return Object.entries(schema.properties).flatMap(([name, each]) => this.#field(name, each, value, `${pointer}/${name}`, depth + 1));
  }

  #box(title, depth, pointer, ...inside) {
    const heading = el("summary", {}, title);
    const open = (depth === 0 && !LAST.includes(title)) || title.startsWith("connection");
    return el("details", { className: "part", open, data: { pointer } }, heading, el("p", { className: "complaint", hidden: true }), ...inside);
  }

  #group(name, schema, value, pointer, depth) {
    const hint = schema.description && el("p", { className: "hint" }, prose(schema.description));
    return this.#box(this.#title(name), depth, pointer, hint || null, el("div", { className: "fields" }, this.#fields(schema, value, pointer, depth)));
  }

  // A part of one of several kinds: another kind begins with its own defaults.
  #choice(name, schema, named, owner, pointer, depth) {
    for (const [kind, each] of Object.entries(named)) this.schemas.set(`${pointer}:${kind}`, each);
    const select = el("select", { id: this.#id() }, Object.keys(named).map((kind) =>
      el("option", { value: kind, selected: kind === owner[name].kind }, kind)));
    const inside = el("div", { className: "fields" });
    const hint = el("p", { className: "hint" });
    const fill = () => {
      const chosen = named[owner[name].kind];
      hint.textContent = prose(chosen.description) ?? "";
      inside.replaceChildren(...this.#fields(chosen, owner[name], pointer, depth));
    };
    select.addEventListener("change", () => {
      owner[name] = { ...defaults(named[select.value], this.root), kind: select.value };
      fill();
      this.changed();
    });
    fill();
    const label = el("label", { className: "kind", htmlFor: select.id }, "kind ", select);
    return this.#box(this.#title(name), depth, pointer, label, hint, inside);
  }

  #id() { return `field-${(this.made += 1)}`; }

  #input(name, schema, owner, pointer) {
    const id = this.#id();
    const input = this.#control(schema, owner[name], id);
    const complaint = el("p", { className: "complaint", hidden: true, id: `${id}-complaint` });
    input.setAttribute("aria-describedby", `${id}-hint ${id}-complaint`);
    const usual = JSON.stringify(owner[name]);
    const around = el("div", { className: "field", data: { pointer } },
      el("label", { htmlFor: id }, words(String(name))), input,
      el("p", { className: "hint", id: `${id}-hint` }, [prose(schema.description), bounds(schema)].filter(Boolean).join(" ")), complaint);
    input.addEventListener(input.tagName === "INPUT" && input.type !== "checkbox" ? "input" : "change", () => {
      owner[name] = valueOf(input, schema);
      around.classList.toggle("changed", JSON.stringify(owner[name]) !== usual);
      this.changed();
    });
    return around;
  }

  #control(schema, value, id) {
    if (schema.enum) {
      const options = [...(schema.nullable ? [null] : []), ...schema.enum];
      return el("select", { id }, options.map((each) => el("option", { value: JSON.stringify(each), selected: each === value }, each === null ? "none" : String(each))));
    }
    if (schema.type === "boolean") return el("input", { id, type: "checkbox", checked: value });
    if (schema.type === "integer" || schema.type === "number") {
      const limits = Object.fromEntries(Object.entries({ min: schema.minimum ?? schema.exclusiveMinimum, max: schema.maximum ?? schema.exclusiveMaximum }).filter(([, limit]) => limit !== undefined));
      return el("input", { id, type: "number", step: schema.type === "integer" ? "1" : "any", value: value ?? "", placeholder: schema.nullable ? "none" : "", attributes: limits });
    }
    return el("input", { id, type: "text", value: value === null ? "" : typeof value === "string" ? value : JSON.stringify(value), placeholder: schema.nullable ? "none" : "" });
  }
}

function valueOf(input, schema) {
  if (schema.type === "boolean") return input.checked;
  if (schema.enum) return JSON.parse(input.value);
  const text = input.value.trim();
  if (text === "") return schema.nullable ? null : text;
  if (schema.type === "string") return text;
  try { return JSON.parse(text); } catch { return text; }
}

function bounds({ minimum, maximum, exclusiveMinimum: above, exclusiveMaximum: below }) {
  const low = minimum !== undefined ? `from ${minimum}` : above !== undefined ? `above ${above}` : "";
  const high = maximum !== undefined ? `to ${maximum}` : below !== undefined ? `below ${below}` : "";
  return low || high ? `(${[low, high].filter(Boolean).join(" ")})` : "";
}

// Says each error at its field, or at the part around it; returns those that have no place.
export function complainAt(form, errors) {
  for (const place of form.querySelectorAll(".complaint")) { place.hidden = true; place.textContent = ""; }
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  return errors.filter(({ pointer, detail }) => {
    for (let at = pointer; at.length > 1; at = at.slice(0, at.lastIndexOf("/"))) {
      const place = form.querySelector(`[data-pointer="${CSS.escape(at)}"]`);
      const complaint = place?.querySelector(".complaint");
      if (!complaint) continue;
      complaint.textContent = complaint.textContent ? `${complaint.textContent}; ${detail}` : detail;
      complaint.hidden = false;
      if (place.classList.contains("field")) place.querySelector("input, select").setAttribute("aria-invalid", "true");
      for (let part = place; part; part = part.parentElement.closest("details.part")) if (part.tagName === "DETAILS") part.open = true;
      return false;
    }
    return true;
  });
}
