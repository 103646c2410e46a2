"""Every recipe with its default spec through a real service: what it reaches, and the pictures of docs/models.md.

    python benchmarks/recipes.py [--only NAME ...] [--seed N] [--with-drsae] [--pictures FOLDER] [--page PAGE]

Starts a service with one training worker, creates the built-in data sets and trains one recipe after the other, all
over HTTP. Held out are the test digits, or a quarter of the photographs. Prints a table; `--pictures` writes each
recipe's filters and the maps that prove it, `--page` the numbers into the recipe's section. `drsae` and `drsae-paper`
take minutes and are left out where they are not asked for (30 epochs then, as in the demo, and 33).
"""

import argparse
import io
import json
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
from PIL import Image

from pinwheel.builtin import BUILTIN
from pinwheel.client import Client, Job
from pinwheel.recipes import RECIPES, Recipe
from pinwheel.specs import ANY_SPEC, layers
from pinwheel.up import Service

MOST_BYTES = 300_000  # of a picture on a page
THREADS = {"OMP_NUM_THREADS": "2"}
VALIDATION: dict[str, dict[str, Any]] = {
    "digits": {"dataset": "digits-test"},
    "photos": {"split": 0.25},
    "photos-small": {"split": 0.25},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "drsae": {"training": {"epochs": 30}},
    "drsae-paper": {"training": {"epochs": 33}},
}
# Maps that show what a recipe is for.
MAPS: dict[str, list[str]] = {
    "sparse-coding": ["usage"],
    "drsae": ["units"],
    "group": ["invariance"],
    "topographic": ["topography", "invariance"],
    "conv-sparse": [],
    "conv-group": [],
    "stacked": [],
    "local": ["orientation"],
    "inhibition": ["tree", "inhibition"],
    "inhibition-ring": ["topography", "inhibition"],
    "inhibition-sheet": ["topography", "inhibition"],
    "inhibition-learned": ["inhibition"],
    "tree": ["tree"],
    "noise": ["usage"],
}
COLUMNS = {
    "seconds": "seconds",
    "unexplained_variance": "unexplained variance",
    "l0": "active units (l0)",
    "active_fraction": "active fraction",
    "dead_units": "dead units",
    "code_gap": "code gap",
    "classification_error": "classification error",
}


def trained(client: Client, recipe: Recipe, seed: int) -> Job:
    """The recipe's training, once it has ended well."""
    for name in (recipe.dataset, f"{recipe.dataset}-test"):
        if name in BUILTIN:
            client.create_dataset(builtin=name)
    settings = SETTINGS.get(recipe.name, {})
    job = client.train(
        recipe=recipe.name,
        dataset=recipe.dataset,
        validation=VALIDATION[recipe.dataset],
        publish_as=recipe.name,
        **settings | {"training": settings.get("training", {}) | {"seed": seed}},
    ).wait()
    if job.status != "succeeded":
        raise SystemExit(f"{recipe.name} {job.status}: {json.dumps(job.record['error'])}")
    return job


def numbers(job: Job) -> dict[str, float | None]:
    """What COLUMNS lists; None where it does not exist for this recipe."""
    begun, ended = (datetime.fromisoformat(job.record[name]) for name in ("started_at", "finished_at"))
    measured = {name: job.record["metrics"].get(name) for name in COLUMNS}
    return measured | {"seconds": (ended - begun).total_seconds()}


def maps(http: httpx2.Client, model: str, kinds: list[str], format: str) -> dict[str, httpx2.Response]:
    """One answer for each kind of map."""
    found = {kind: http.get(f"/v1/models/{model}/maps/{kind}", params={"format": format}) for kind in kinds}
    for answer in found.values():
        answer.raise_for_status()
    return found


def save(client: Client, http: httpx2.Client, job: Job, recipe: Recipe, folder: Path) -> None:
    """The filters, most used first where nothing orders the units, and the maps."""
    model = client.model(str(job.model))
    spec = ANY_SPEC.validate_json(json.dumps(model.record["spec"]))
    order = "usage" if layers(spec)[-1].model.sparsity.kind in ("l1", "noise") else "index"
    pictures = {"filters": model.filters("png", order=order)}
    pictures |= {f"layer-{layer}": model.filters("png", layer=layer) for layer in range(len(layers(spec)) - 1)}
    pictures |= {
        kind: answer.content for kind, answer in maps(http, model.id, MAPS.get(recipe.name, []), "png").items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    for kind, whole in pictures.items():
        picture = for_page(whole, kind)
        (folder / f"{recipe.name}-{kind}.png").write_bytes(picture)
        print(f"  {recipe.name}-{kind}.png: {len(picture) / 1000:.0f} kB", flush=True)


def for_page(picture: bytes, kind: str) -> bytes:
    """A PNG small enough for a page: of filters as much from the upper left as fits, anything else in fewer colours
    and, where that is not enough, smaller."""
    image, small = Image.open(io.BytesIO(picture)), picture
    part = image
    for share in (0.9**step for step in range(40)):
        if len(small) <= MOST_BYTES:
            break
        sides = round(share * image.width), round(share * image.height)
        part = image.crop((0, 0, *sides)) if kind == "filters" else image.resize(sides, Image.Resampling.LANCZOS)
        out = io.BytesIO()
        (part if kind == "filters" else part.convert("RGB").quantize(128, Image.Quantize.MAXCOVERAGE)).save(
            out, "PNG", optimize=True
        )
        small = out.getvalue()
    return small


def shown(value: float | None, name: str) -> str:
    if value is None:
        return ""
    if name == "classification_error":
        return f"{value:.2%}"
    return f"{value:.0f}" if name in ("seconds", "dead_units") else f"{value:.3g}"


def row(recipe: str, measured: dict[str, float | None]) -> str:
    return f"| `{recipe}` | " + " | ".join(shown(measured[name], name) for name in COLUMNS) + " |"


def told(recipe: Recipe, measured: dict[str, float | None], found: dict[str, dict[str, Any]]) -> str:
    """What a run reached, in words: the numbers of the training and of the maps."""
    l0, unexplained, dead = (measured[name] for name in ("l0", "unexplained_variance", "dead_units"))
    units = l0 / measured["active_fraction"]
    parts = [
        f"unexplained variance {unexplained:.3f}",
        f"{l0:.1f} of {units:.0f} units active",
        f"{dead:.0f} dead units",
    ]
    if (gap := measured["code_gap"]) is not None:
        parts.append(f"code gap {gap:.3f}")
    if (error := measured["classification_error"]) is not None:
        parts.append(f"classification error {error:.2%}")
    lines = [f"* After {measured['seconds']:.0f} s: " + ", ".join(parts) + "."]
    lines += [f"* {line}" for kind, values in found.items() for line in TOLD[kind](values)]
    return "\n".join(lines)


def of_topography(values: dict[str, Any]) -> list[str]:
    angles = [values[f"{pairs}_orientation_difference_deg"] for pairs in ("neighbour", "random_pairs")]
    octaves = [values[f"{pairs}_frequency_difference_octaves"] for pairs in ("neighbour", "random_pairs")]
    return [
        f"Preferred orientations differ by {angles[0]:.1f}° between neighbours on the map, by {angles[1]:.1f}° between "
        f"all pairs; preferred frequencies by {octaves[0]:.2f} and {octaves[1]:.2f} octaves. "
        f"{values['oriented_units']} units have an orientation."
    ]


def of_orientation(values: dict[str, Any]) -> list[str]:
    found, shuffled = values, values["shuffled"]
    density = found["pinwheel_density"]
    return [
        f"{found['num_positive']:.0f} pinwheels of charge +½ and {found['num_negative']:.0f} of −½, "
        + (f"columns {found['spacing_units']:.1f} units apart, {density:.2f} pinwheels per Λ². " if density else "")
        + f"Orientations of neighbours differ by {found['neighbour_orientation_difference_deg']:.1f}°, of shuffled "
        f"units by {shuffled['neighbour_orientation_difference_deg']:.1f}°; these have "
        f"{shuffled['num_pinwheels']:.0f} pinwheels and no peak in the spectrum."
    ]


def of_inhibition(values: dict[str, Any]) -> list[str]:
    active, rows = values["coactivation"], values["row_sum"]
    lines = []
    if active["free"] is not None:
        lines.append(
            f"The {values['inhibited_pairs']} pairs with inhibition are active together for {active['inhibited']:.2%} "
            f"of the inputs, the {values['free_pairs']} without for {active['free']:.2%}: ratio {active['ratio']:.2f}."
        )
    if active["correlation"] is not None:
        lines.append(f"Over all pairs inhibition and co-activation correlate by {active['correlation']:.2f}.")
    symmetric = "symmetric" if values["symmetric"] else "not symmetric"
    lines.append(
        f"The matrix is {symmetric}, entries lie between {values['min']:.2g} and {values['max']:.2g}, row sums between "
        f"{rows['min']:.4g} and {rows['max']:.4g}."
    )
    return lines


def of_tree(values: dict[str, Any]) -> list[str]:
    usage = ", ".join(f"{level['usage']:.1%} ({level['units']})" for level in values["by_depth"])
    falls = "It falls with depth" if values["falls"] else "It does not fall everywhere with depth"
    return [f"Mean usage by depth, root first (units): {usage}. {falls}."]


def of_units(values: dict[str, Any]) -> list[str]:
    counts, found = values["counts"], values["correlation"]
    lines = [
        f"{counts['part']} units are parts (row of E and column of D within {values['part_below_rad']} rad), "
        f"{counts['categorical']} categorical (beyond {values['categorical_above_rad']} rad), {counts['intermediate']} "
        "between."
    ]
    for source, words in (("part", "parts"), ("categorical", "categorical units")):
        if (r := found[f"{source}_to_part"]) is not None:
            lines.append(f"Weights from {words} into parts correlate with the overlaps of their columns by {r:.2f}.")
    return lines


def of_usage(values: dict[str, Any]) -> list[str]:
    return [
        f"The mean unit is active for {values['mean']:.1%} of the inputs; Gini index of usage {values['gini']:.2f}."
    ]


def of_invariance(values: dict[str, Any]) -> list[str]:
    lines = []
    for movement, steps, unit in (("shift", "pixels_moved", " pixels"), ("rotation", "degrees", "°")):
        curves = values[movement]
        at = min(2, len(curves[steps]) - 1)
        distances = [f"{name} {curves[name][at]:.2f}" for name in ("pixels", "code", "pooled") if curves[name]]
        lines.append(
            f"Distance after a {movement} by {curves[steps][at]}{unit}: {', '.join(distances)} (unrelated: 1)."
        )
    return lines


TOLD = {
    "topography": of_topography,
    "orientation": of_orientation,
    "inhibition": of_inhibition,
    "tree": of_tree,
    "units": of_units,
    "usage": of_usage,
    "invariance": of_invariance,
}


def with_numbers(page: str, recipe: str, text: str) -> str:
    """The page with `text` between the two marks of this recipe; as it is where it has none."""
    mark, end = f"<!-- reached: {recipe} -->\n", "<!-- end of reached -->\n"
    if mark not in page:
        return page
    before, rest = page.split(mark)
    return before + mark + "\n" + text + "\n\n" + end + rest.split(end, 1)[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=list(RECIPES), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--with-drsae", action="store_true")
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    chosen = given.only or [name for name in RECIPES if given.with_drsae or not name.startswith("drsae")]
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="pw-") as folder,
        Service(Path(folder), port=0, environment=THREADS) as service,
        Client(service.url) as client,
        httpx2.Client(base_url=service.url, timeout=60, trust_env=False) as http,
    ):
        for recipe in (RECIPES[name] for name in chosen):
            job = trained(client, recipe, given.seed)
            measured = numbers(job)
            rows.append(row(recipe.name, measured))
            print(rows[-1], flush=True)
            found = {
                kind: a.json() for kind, a in maps(http, str(job.model), MAPS.get(recipe.name, []), "json").items()
            }
            text = told(recipe, measured, found)
            print(text, flush=True)
            if given.pictures:
                save(client, http, job, recipe, given.pictures)
            if given.page:
                given.page.write_text(with_numbers(given.page.read_text(), recipe.name, text))
    heads = ["recipe", *COLUMNS.values()]
    print("\n| " + " | ".join(heads) + " |\n| " + " | ".join("---" for _ in heads) + " |\n" + "\n".join(rows))


if __name__ == "__main__":
    main()
