// The maps of a model, each with a sentence that says what it shows.
import { el, words } from "./page.js";

const SENTENCES = {
  topography: "Filters where their units lie: neighbours should look alike, in orientation and frequency.",
  orientation: "Hue is the orientation that a unit prefers; pinwheels are the points that all orientations meet at.",
  inhibition: "Which units hold each other down, and those that a unit is inhibited by most.",
  tree: "Roots in the middle, their children around them: coarse features branch into finer ones.",
  units: "Units that are parts of images, units that stand for a whole category, and what connects them.",
  usage: "How many of the inputs switch each unit on, from the most to the least used.",
  invariance: "How far a code moves when its image is shifted or turned, beside how far the pixels move.",
};

export function gallery(maps, model) {
  return Object.entries(maps).map(([kind, address]) => {
    const picture = el("img", { src: address, alt: `Map of ${kind} of ${model}`, loading: "lazy" });
    return el("figure", {}, el("a", { href: address }, picture), el("figcaption", {}, el("b", {}, words(kind)), ` · ${SENTENCES[kind] ?? ""}`));
  });
}
