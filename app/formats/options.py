"""How an upload is to be understood: what a client may say besides the files."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, StringConstraints

from pinwheel.specs.base import Spec

Color: TypeAlias = Literal["gray", "rgb", "keep"]
Layout: TypeAlias = Literal["NHWC", "NCHW", "NHW", "NC"]
Label = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class DatasetOptions(Spec):
    """Options of `POST /v1/datasets`, in the query or as fields of a form."""

    name: Label | None = Field(None, description="Name to find the data set by.")
    color: Color = Field("keep", description="gray or rgb converts every image; keep leaves its channels as they are.")
    layout: Layout | None = Field(
        None,
        description=(
            "Order of an array's axes. Without: two axes are NC (vectors), three are NHW, four are NHWC; "
            "or NCHW when the last axis is longer than 4 and the second is not."
        ),
    )
    images_key: Label = Field("images", description="Name of the images in an npz file or a table.")
    labels_key: Label = Field("labels", description="Name of the labels in an npz file or a table, if it holds any.")
    on_bad_file: Literal["fail", "skip"] = Field(
        "fail", description="What a file that is no readable image does: refuse the upload, or be listed in `skipped`."
    )
