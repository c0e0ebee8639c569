"""DeepFaceLab's model folder: the models in it and the names of their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faceloom.core import InputError

DFL_CLASSES = ("SAEHD", "AMP", "Quick96", "XSeg")
"""The model classes of DFL 2 that exist here too."""
_DATA = "data.dat"
_XSEG_STEM = "XSeg_256"


@dataclass(frozen=True)
class DflFiles:
    """The files of one model in a DFL folder, existing or not."""

    folder: Path
    name: str
    """Empty for XSeg: a folder has at most one, without a name."""
    class_name: str

    @property
    def label(self) -> str:
        """Its usual label: `name_CLASS`, or `XSeg`."""
        return f"{self.name}_{self.class_name}" if self.class_name != "XSeg" else "XSeg"

    @property
    def data(self) -> str:
        """The name of the file with options, iteration and losses."""
        return f"{self.label}_{_DATA}"

    @property
    def summary(self) -> str:
        """The name of the readable summary."""
        return f"{self.label}_summary.txt"

    def tensors(self, name: str) -> str:
        """The name of the file of a network or optimizer, given our name of it."""
        if self.class_name == "XSeg":
            return f"{_XSEG_STEM}.npy" if name == "xseg" else f"{_XSEG_STEM}_{name}.npy"
        return f"{self.label}_{name}.npy"


def list_dfl_models(folder: Path) -> list[DflFiles]:
    """Every model in a DFL folder, by name; `InputError` when there is no such folder."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found: list[DflFiles] = []
    for path in sorted(folder.iterdir()):
        label = path.name.removesuffix(f"_{_DATA}")
        if label == path.name or path.name.startswith("."):
            continue
        name, _, class_name = label.rpartition("_")
        # XSeg's files begin with the class: `XSeg_data.dat`.
        if class_name in DFL_CLASSES and bool(name) == (class_name != "XSeg"):
            found.append(DflFiles(folder, name, class_name))
    return found


def find_dfl_model(
    folder: Path, *, name: str | None = None, class_name: str | None = None
) -> DflFiles:
    """The one model that matches; with nothing given, the only one there is.

    Raises `InputError` with a list of the models when none or several match.
    """
    models = list_dfl_models(folder)
    found = [
        model
        for model in models
        if name in (None, model.name) and class_name in (None, model.class_name)
    ]
    if len(found) == 1:
        return found[0]
    labels = ", ".join(model.label for model in models)
    if not models:
        raise InputError(
            f"no DeepFaceLab 2 model in {folder}: no file NAME_CLASS_{_DATA} with CLASS one of"
            f" {', '.join(DFL_CLASSES)}"
        )
    if not found:
        raise InputError(f"no such model in {folder}; it has {labels}")
    raise InputError(f"{folder} has several models ({labels}); choose one with --name and --class")


def dfl_file_name(name: str) -> str:
    """A model name for DFL, where a name ends at the first underscore."""
    return name.replace("_", " ").strip()
