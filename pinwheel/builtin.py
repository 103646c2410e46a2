"""The data sets that come with Pinwheel. Sources and licences: `pinwheel/data/README.md`."""

from pathlib import Path

FOLDER = Path(__file__).parent / "data"

# name → file, in a format that an upload could have
BUILTIN: dict[str, Path] = {
    "digits": FOLDER / "digits.npz",
    "digits-test": FOLDER / "digits-test.npz",
    "photos": FOLDER / "photos.zip",
    "photos-small": FOLDER / "photos-small.zip",
}
