// The maps of a model, each with a sentence that says what one sees (`seen`, by kind).
import { el, words } from "./page.js";

export function gallery(maps, model, seen) {
  return Object.entries(maps).map(([kind, address]) => {
    const picture = el("img", { src: address, alt: `Map of ${kind} of ${model}`, loading: "lazy" });
    return el("figure", {}, el("a", { href: address }, picture), el("figcaption", {}, el("b", {}, words(kind)), ` · ${seen[kind] ?? ""}`));
  });
}
