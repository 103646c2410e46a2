// An image through a model: strongest units, reconstruction, classes. Public API only.
import { byId, code, complain, el, gathered, number, post, read, readAll } from "../page.js";
import { draw, taken } from "./image.js";

const SHOWN = 12;
let record;
let file;
let turn = 0;

const passes = () => (byId("passes-label").hidden ? "" : `passes=${byId("passes").value}`);
const here = () => `/v1/models/${record.name}@${record.version}`;

// The unit of the filter behind a place in the features, or null where there is no one filter: of pools.
function unitOf(feature) {
  const { feature_shape: shape, units } = record;
  if (shape.length === 1) return shape[0] === units ? feature : null;
  if (shape.at(-1) === units) return feature % units;
  return shape.reduce((all, side) => all * side, 1) === units ? feature : null;
}

function meter(value, most) {
  const bar = el("span", { className: value < 0 ? "against" : "" });
  bar.style.width = `${(100 * Math.abs(value)) / (most || 1)}%`;
  return el("div", { className: "meter" }, bar);
}

function showUnits({ indices, values }) {
  const strongest = indices.map((feature, place) => [feature, values[place]]).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, SHOWN);
  const most = Math.abs(strongest[0]?.[1] ?? 1);
  byId("units").replaceChildren(el("p", { className: "detail" }, `${number(indices.length)} of ${number(record.feature_shape.reduce((all, side) => all * side, 1))} numbers of the code are not zero; the strongest ${strongest.length}:`),
    ...strongest.map(([feature, value]) => {
      const unit = unitOf(feature);
      const name = unit === null ? `feature ${feature}` : el("a", { href: `/models/${record.name}@${record.version}#unit=${unit}` }, `unit ${unit}`);
      const picture = unit === null ? el("span") : el("img", { src: `${here()}/filters/${unit}?format=png&scale=2`, alt: `Filter of unit ${unit}` });
      return el("div", { className: "strong", data: { feature } }, picture, el("span", {}, name), meter(value, most), el("span", {}, number(value)));
    }));
}

function showClasses(found) {
  if (!found) return byId("classes").replaceChildren();
  const [probabilities] = found.probabilities;
  return byId("classes").replaceChildren(el("h2", {}, `Class ${found.predictions[0]}`), ...found.classes.map((name, place) =>
    el("div", { className: "strong plain" }, el("span", {}, String(name)), meter(probabilities[place], 1), el("span", {}, `${(100 * probabilities[place]).toFixed(1)} %`))));
}

async function look() {
  if (!file || !record) return;
  const mine = (turn += 1);
  try {
    const { pixels, said } = await taken(file, record.input_shape);
    const body = { inputs: [{ array: pixels, dtype: "uint8" }] };
    const [code, back, classes] = await Promise.all([
      post(`${here()}/encode?sparse=true&format=json&${passes()}`, body),
      post(`${here()}/reconstruct?format=json&${passes()}`, body),
      record.classes ? post(`${here()}/classify?format=json&${passes()}`, body) : null,
    ]);
    if (mine !== turn) return;
    complain(byId("refused"), null);
    byId("resized").textContent = said;
    byId("pair").hidden = false;
    draw(byId("original"), pixels, 255);
    draw(byId("reconstruction"), back.data[0], 1);
    byId("unexplained").textContent = `${(100 * back.unexplained_variance[0]).toFixed(1)} % of its variance is lost`;
    showUnits(code);
    showClasses(classes);
  } catch (error) {
    if (mine === turn) complain(byId("refused"), error.name === "InvalidStateError" || error.name === "EncodingError" ? new Error("The browser cannot read this as an image.") : error);
  }
}

function snippets() {
  const name = `${record.name}@${record.version}`;
  const query = passes();
  byId("snippets").replaceChildren(
    code(`curl "${location.origin}/v1/models/${name}/encode${query ? `?${query}` : ""}" --data-binary @image.png -H "Content-Type: image/png"`, "curl"),
    code(`import pinwheel\n\nmodel = pinwheel.Client(${JSON.stringify(location.origin)}).model(${JSON.stringify(name)})\nfeatures = model.encode("image.png"${query ? `, ${query}` : ""})`, "Python"));
}

// The encoder of the top layer, which `passes` is about.
const encoder = ({ spec }) => (spec.model ?? spec.stages.findLast((stage) => stage.model)?.model)?.encoder ?? {};

async function choose(name) {
  record = await read(`/v1/models/${name}`);
  history.replaceState(null, "", `/playground?model=${encodeURIComponent(name)}`);
  const { kind, passes: usual } = encoder(record);
  byId("passes-label").hidden = kind !== "recurrent";
  if (kind === "recurrent") {
    Object.assign(byId("passes"), { max: Math.max(20, 2 * usual), value: usual });
    byId("passes-value").textContent = usual;
  }
  snippets();
  await look();
}

async function start() {
  const models = await readAll("/v1/models");
  const asked = new URLSearchParams(location.search).get("model");
  const names = models.map((each) => `${each.name}@${each.version}`);
  if (asked && !names.includes(asked)) names.unshift(asked);
  byId("model").replaceChildren(...names.map((name) => el("option", { value: name, selected: name === asked }, name)));
  if (names.length) return choose(asked ?? names[0]);
  throw new Error("There is no model yet: a training that ends publishes one.");
}

function take(files) {
  const image = [...files].find((each) => each.type.startsWith("image/"));
  if (!image) return complain(byId("refused"), new Error("That is not an image."));
  file = image;
  return look();
}

const drop = byId("drop");
byId("file").addEventListener("change", ({ target }) => target.files.length && take(target.files));
drop.addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", (event) => { event.preventDefault(); drop.classList.remove("over"); take(event.dataTransfer.files); });
addEventListener("paste", ({ clipboardData }) => clipboardData.files.length && take(clipboardData.files));
byId("model").addEventListener("change", ({ target }) => choose(target.value).catch((error) => complain(byId("refused"), error)));
const lookSoon = gathered(() => { snippets(); look(); }, 150);
byId("passes").addEventListener("input", ({ target }) => { byId("passes-value").textContent = target.value; lookSoon(); });
byId("controls").addEventListener("submit", (event) => event.preventDefault());
start().catch((error) => complain(byId("refused"), error));
