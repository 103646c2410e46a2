// A new training: recipe, data, settings, what it will cost, and the same as a command. Public API only.
import { byId, bytes, code, complain, duration, el, facts, gathered, number, post, read, readAll } from "../page.js";
import { DataChoice } from "./data.js";
import { complainAt, SpecForm } from "./form.js";
import { changes, SAME } from "./schema.js";
import { curl, python } from "./snippets.js";

const page = byId("new");
const soon = gathered(rehearse, 350);
const data = new DataChoice(soon);
const form = new SpecForm(byId("spec"), soon);
let recipe;
let before; // the job from whose checkpoint the new one goes on
let asked = 0;

function body() {
  const { name, publish_as: model, split } = page.elements;
  const told = { type: "train", ...(before ? { resume_from: before.id } : { recipe: recipe.name, dataset: data.id }) };
  if (!before && data.validation) told.validation = { dataset: data.validation, ...(split.value === "" ? {} : { split: Number(split.value) }) };
  else if (!before && split.value !== "") told.validation = { split: Number(split.value) };
  if (!before && byId("on_top_of").value) told.on_top_of = byId("on_top_of").value;
  const changed = changes(form.value, form.usual, (kind, path) => form.ofKind(kind, path));
  if (changed !== SAME) Object.assign(told, changed);
  if (model.value) told.publish_as = model.value;
  if (name.value) told.name = name.value;
  return told;
}

// Asks what would become of the job, and says what is wrong with it where it is wrong.
async function rehearse() {
  if (!before && !(recipe && data.id)) return;
  const turn = (asked += 1);
  const told = body();
  byId("snippets").replaceChildren(code(curl(told), "curl"), code(python(told), "Python"));
  try {
    const answer = await post("/v1/jobs?dry_run=true", told);
    if (turn === asked) accept(answer);
  } catch (error) {
    if (turn === asked) refuse(error);
  }
}

function accept({ estimate, publish_as: model }) {
  complainAt(page, []);
  complain(byId("refused"), null);
  byId("submit").disabled = false;
  byId("estimate").replaceChildren(facts([
    ["Steps", number(estimate.total_steps)], ["Parameters", number(estimate.parameters)], ["Memory", `about ${bytes(estimate.memory_bytes)}`],
    ["Time", `about ${duration(estimate.seconds)}`], ["Becomes model", model],
  ]));
}

function refuse(error) {
  const rest = complainAt(page, error.errors ?? []);
  const placed = error.errors?.length && !rest.length;
  complain(byId("refused"), placed ? { message: "Some settings do not fit; each says why." } : { message: rest.map((each) => `${each.pointer}: ${each.detail}`).join("; ") || error.message });
  byId("submit").disabled = true;
  byId("estimate").replaceChildren("–");
}

// What a new model may be put on.
async function models() {
  const found = await readAll("/v1/models");
  const kept = byId("on_top_of").value;
  byId("on_top_of").replaceChildren(el("option", { value: "" }, "none"),
    ...found.map((each) => el("option", { value: `${each.name}@${each.version}` }, `${each.name}@${each.version}`)));
  byId("on_top_of").value = kept;
}

async function choose(name) {
  recipe = await read(`/v1/recipes/${name}`);
  history.replaceState(null, "", `#recipe=${name}`);
  byId("settings").hidden = false;
  byId("recipe-title").textContent = recipe.title;
  byId("recipe-summary").textContent = recipe.summary;
  byId("recipe-paper").textContent = `${recipe.paper}. ${recipe.cost}.${recipe.needs_labels ? " Needs labels." : ""}`;
  page.elements.publish_as.placeholder = name;
  form.show(recipe.schema, recipe.spec);
  await Promise.all([data.load(), models()]);
  await data.choose(recipe.dataset);
  byId("recipe-title").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

// The settings of a job, laid out to be changed; its data stay what they are.
async function resume(id) {
  before = await read(`/v1/jobs/${id}`);
  const stages = before.spec.stages?.filter((stage) => !stage.taken_from);
  const { schema } = await read(`/v1/recipes/${stages ? "stacked" : "drsae"}`); // one schema for all stacks, one for all others
  page.querySelector(".recipes").hidden = true;
  for (const place of page.querySelectorAll("[data-of-data]")) place.hidden = true;
  byId("settings").hidden = false;
  byId("recipe-title").textContent = `Go on from step ${number(before.checkpoint_step ?? 0)} of ${before.name ?? before.recipe ?? before.id}`;
  byId("recipe-summary").textContent = "A new job begins at the last checkpoint of that one, with what is changed here: how it goes on learning, not what it is.";
  byId("recipe-paper").replaceChildren(el("a", { href: `/jobs/${before.id}` }, before.id));
  page.elements.publish_as.placeholder = before.publish_as;
  form.show(schema, stages ? { ...before.spec, stages } : before.spec);
  rehearse();
}

async function submit(event) {
  event.preventDefault();
  byId("submit").disabled = true;
  try {
    const job = await post("/v1/jobs", body());
    location.assign(`/jobs/${job.id}`);
  } catch (error) {
    refuse(error);
  }
}

page.addEventListener("change", ({ target }) => {
  if (target.name === "recipe") choose(target.value).catch((error) => complain(byId("refused"), error));
});
byId("on_top_of").addEventListener("change", soon);
for (const name of ["name", "publish_as", "split"]) page.elements[name].addEventListener("input", soon);
page.addEventListener("submit", submit);

// `#recipe=psd` in the address is that recipe, `#resume_from=job_…` that job.
function readAddress() {
  const job = /^#resume_from=(job_[0-9a-z]+)$/.exec(location.hash)?.[1];
  if (job) { resume(job).catch((error) => complain(byId("refused"), error)); return; }
  const given = /^#recipe=([a-z0-9-]+)$/.exec(location.hash)?.[1];
  const card = given && page.querySelector(`input[value="${given}"]`);
  if (!card || recipe?.name === given) return;
  card.checked = true;
  choose(given).catch((error) => complain(byId("refused"), error));
}
addEventListener("hashchange", readAddress);
readAddress();
