"""Data sets: rows of angles and class labels, checked when they are made.

Feature values are angles in rad and are used as they are. `scaled` maps columns linearly to [0, pi] by their range
in the training rows; nothing else scales, and nothing scales on its own. `digits` is scaled as its docstring says.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qtrain.errors import DataError
from qtrain.real_arrays import is_masked

Array = NDArray[np.float64]
MAX_LISTED = 5


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows to learn from.

    Attributes:
        x: [row, feature] angles, rad; finite.
        y: [row] class, 0 .. k-1.
        name: where the rows came from; messages name it.
        classes: what label 0, 1, ... was called in the source.

    Raises: DataError: no rows, no features, shapes that do not match, NaN or infinite values, labels below 0.
    """

    x: Array
    y: NDArray[np.int64]
    name: str = "data"
    classes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        x, y = _numbers(self.x, self.name), _labels(self.y, self.name)
        if x.ndim != 2 or y.ndim != 1 or len(x) != len(y):
            raise DataError(
                f"{self.name}: x has shape {x.shape} and y {y.shape}. Expected [row, feature] and [row], one y a row."
            )
        if x.size == 0:
            raise DataError(
                f"{self.name}: x has shape {x.shape}: nothing in it. Expected at least one row and feature."
            )
        bad = np.argwhere(~np.isfinite(x))
        if len(bad):
            row, column = (int(i) for i in bad[0])
            raise DataError(
                f"{self.name}: row {row}, feature {column} is {x[row, column]} ({len(bad)} such values). "
                "Expected finite numbers; remove or fill in these rows."
            )
        x.setflags(write=False)
        y.setflags(write=False)
        object.__setattr__(self, "x", x)
        object.__setattr__(self, "y", y)
        object.__setattr__(self, "classes", self.classes or tuple(str(k) for k in range(self.num_classes)))

    def __len__(self) -> int:
        return len(self.y)

    @property
    def num_features(self) -> int:
        """Columns of x."""
        return int(self.x.shape[1])

    @property
    def num_classes(self) -> int:
        """Largest label plus one."""
        return int(self.y.max()) + 1

    @property
    def sha256(self) -> str:
        """Hash of the numbers (not of the name), the same on every machine."""
        digest = hashlib.sha256(repr(self.x.shape).encode())
        digest.update(np.ascontiguousarray(self.x, "<f8").tobytes())
        digest.update(np.ascontiguousarray(self.y, "<i8").tobytes())
        return digest.hexdigest()

    def take(self, rows: Sequence[int] | NDArray[np.integer[Any]], name: str | None = None) -> Dataset:
        """The given rows, in that order."""
        return Dataset(self.x[rows], self.y[rows], name or self.name, self.classes)


def check_trainable(data: Dataset) -> None:
    """Raises DataError unless two classes or more are there and no label between them is missing."""
    present = {int(k) for k in np.unique(data.y)}
    if len(present) < 2:
        raise DataError(
            f"{data.name}: every row has class {present.pop()}. "
            "Expected two classes or more; add rows of another class, or check which column is the label."
        )
    missing = sorted(set(range(data.num_classes)) - present)
    if missing:
        raise DataError(
            f"{data.name}: no row has class {', '.join(map(str, missing[:MAX_LISTED]))}, but the largest label is "
            f"{data.num_classes - 1}. Expected labels 0 .. k-1 without a gap; renumber them."
        )


def digits(seed: int = 0, *, train: int = 400, test: int = 300) -> tuple[Dataset, Dataset]:
    """scikit-learn's digits 0 to 3 as 4x4 images: (training rows, test rows), drawn by the seed.

    8x8 images are averaged over 2x2 blocks; a pixel, 0..16, is divided by 16 and multiplied by pi, rad. Rows are
    `default_rng(100 + seed).permutation`, the first `train` for training, the next `test` for the test: 720 in all.
    Raises: DataError: more rows asked for than there are.
    """
    from sklearn.datasets import load_digits

    raw = load_digits(n_class=4)
    x = raw.images.reshape(-1, 4, 2, 4, 2).mean((2, 4)).reshape(-1, 16) / 16 * np.pi
    if train < 1 or test < 1 or train + test > len(x):
        raise DataError(f"digits: train = {train}, test = {test}. Expected 1 or more each, {len(x)} together at most.")
    order = np.random.default_rng(100 + seed).permutation(len(x))
    everything = Dataset(x, raw.target, "digits")
    return everything.take(order[:train], "digits (train)"), everything.take(
        order[train : train + test], "digits (test)"
    )


def split(data: Dataset, *, test_fraction: float = 0.25, seed: int = 0) -> tuple[Dataset, Dataset]:
    """(training rows, test rows), drawn by the seed; both have a row at least.

    Raises: DataError: a fraction outside (0, 1), or a single row.
    """
    if not 0 < test_fraction < 1:
        raise DataError(f"{data.name}: test_fraction = {test_fraction}. Expected 0 < fraction < 1.")
    if len(data) < 2:
        raise DataError(f"{data.name}: one row cannot be split. Expected two rows or more.")
    count = min(max(1, round(test_fraction * len(data))), len(data) - 1)
    order = np.random.default_rng(100 + seed).permutation(len(data))
    return data.take(order[count:], f"{data.name} (train)"), data.take(order[:count], f"{data.name} (test)")


def scaled(train: Dataset, *others: Dataset, low: float = 0.0, high: float = math.pi) -> tuple[Dataset, ...]:
    """Every column mapped linearly so that its least training value becomes `low` and its largest `high`, rad.

    The other sets are mapped by the training rows' range, so they may lie outside. A column that is constant in the
    training rows becomes `low`.
    """
    least, span = train.x.min(0), np.ptp(train.x, 0)
    span = np.where(span > 0, span, np.inf)
    return tuple(
        Dataset(low + (high - low) * ((data.x - least) / span), data.y, data.name, data.classes)
        for data in (train, *others)
    )


def from_npz(path: str | Path) -> Dataset:
    """A .npz file with arrays x [row, feature] and y [row]. Nothing in it is unpickled.

    Raises: DataError: no such file, not a .npz file, a missing or an object array.
    """
    path = Path(path)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            missing = {"x", "y"} - set(stored.files)
            if missing:
                raise DataError(
                    f"{path}: array {', '.join(sorted(missing))} is missing; found {', '.join(sorted(stored.files))}. "
                    "Expected x [row, feature] and y [row]: numpy.savez(path, x=x, y=y)."
                )
            return Dataset(stored["x"], stored["y"], path.name)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{path}: cannot be read ({error}). Expected a .npz file of plain numbers, written by numpy.savez."
        ) from None


def from_csv(path: str | Path, *, label: str | None = None) -> Dataset:
    """A CSV file: numeric columns and one label column.

    A first row in which a feature is neither a number nor missing is the header. Labels that are whole numbers are used
    as they are; any other labels are numbered in sorted order (`Dataset.classes` says which is which).

    Args:
        label: name of the label column, which needs a header; default: the last column.
    Raises: DataError: no such file or column, ragged rows, or a cell that is not a number; names row and column.
    """
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file.") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: cannot be read ({error}). Expected a UTF-8 text file of comma-separated rows."
        ) from None
    if not rows:
        raise DataError(f"{path}: no rows. Expected a line per row: features, then the label.")
    width = len(rows[0][1])
    for line, cells in rows:
        if len(cells) != width:
            raise DataError(
                f"{path}: line {line} has {len(cells)} cells, the first row {width}. Expected the same in every row."
            )
    if width < 2:
        raise DataError(f"{path}: one column. Expected features and a label, separated by commas.")
    header = rows[0][1] if label is not None or any(c and _number(c) is None for c in rows[0][1][:-1]) else None
    names = header or [str(i) for i in range(width)]
    if header is not None:
        rows = rows[1:]
        doubled = sorted({n for n in header if header.count(n) > 1})
        if doubled:
            raise DataError(f"{path}: two columns are named {doubled[0]!r}. Expected different names.")
        if label is not None and label not in header:
            raise DataError(f"{path}: no column {label!r}. The header has: {', '.join(header)}.")
        if not rows:
            raise DataError(f"{path}: a header and no rows. Expected at least one row of numbers below it.")
    where = names.index(label) if label is not None else width - 1
    x = np.empty((len(rows), width - 1))
    for i, (line, cells) in enumerate(rows):
        for j, column in enumerate(c for c in range(width) if c != where):
            value = _number(cells[column])
            if value is None or not math.isfinite(value):
                raise DataError(
                    f"{path}: line {line}, column {names[column]!r}: {cells[column]!r} is not a finite number. "
                    "Expected numbers in every column but the label; remove the row or the column."
                )
            x[i, j] = value
    y, classes = _named_labels([(line, cells[where]) for line, cells in rows], path, names[where])
    return Dataset(x, y, path.name, classes)


def load(source: str | Path, *, label: str | None = None) -> Dataset:
    """A .csv or .npz file by its ending.

    Raises: DataError: another ending, or what the reader refuses.
    """
    ending = Path(source).suffix.lower()
    if ending == ".csv":
        return from_csv(source, label=label)
    if ending == ".npz":
        return from_npz(source)
    raise DataError(f"{source}: unknown kind of data. Expected 'digits', a .csv file or a .npz file.")


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _named_labels(cells: list[tuple[int, str]], path: Path, column: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    for line, cell in cells:
        if not cell:
            raise DataError(f"{path}: line {line}, column {column!r}: the label is missing. Expected one in every row.")
    values = [_number(cell) for _, cell in cells]
    if all(v is not None and v.is_integer() and v >= 0 for v in values):
        return np.array(values, dtype=np.int64), ()
    numbers = [v for v in values if v is not None]
    if len(numbers) == len(values):
        line, cell = next((li, c) for (li, c), v in zip(cells, numbers) if not v.is_integer() or v < 0)
        raise DataError(
            f"{path}: line {line}, column {column!r}: label {cell!r}. Expected classes 0, 1, ... or names; "
            "choose the label column with label=."
        )
    classes = tuple(sorted({cell for _, cell in cells}))
    return np.array([classes.index(cell) for _, cell in cells], dtype=np.int64), classes


def as_dataset(given: Any, name: str) -> Dataset:
    """A `Dataset` as it is; a pair (x, y) of arrays, tensors or lists; or a torch data set of such pairs, row by row.

    Raises: DataError: something else, or what `Dataset` refuses.
    """
    if isinstance(given, Dataset):
        return given
    if isinstance(given, torch.utils.data.TensorDataset):
        given = given.tensors
    elif isinstance(given, torch.utils.data.Dataset) and hasattr(given, "__len__"):
        rows = [tuple(given[i]) for i in range(len(given))]
        if all(len(row) == 2 for row in rows):
            given = tuple([np.array(_off_torch(row[k])) for row in rows] for k in range(2))
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise DataError(
            f"{name} is a {type(given).__name__}. Expected a qtrain.Dataset, a pair (x, y), or a torch data set of "
            "such pairs with a length."
        )
    return Dataset(given[0], given[1], name)


def _off_torch(values: Any) -> Any:
    """A tensor as a numpy array; anything else as it is."""
    if not isinstance(values, torch.Tensor):
        return values
    plain = values.detach().cpu()
    return (plain.double() if plain.is_floating_point() else plain).numpy()


def _numbers(values: Any, name: str) -> Array:
    _refuse_masked(values, "x", name)
    try:
        array = np.array(_off_torch(values))
    except ValueError as error:
        raise DataError(f"{name}: x is not a table of numbers ({error}). Expected [row, feature].") from None
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name}: x holds {array.dtype}. Expected real numbers.")
    return array.astype(np.float64)


def _labels(values: Any, name: str) -> NDArray[np.int64]:
    _refuse_masked(values, "y", name)
    try:
        array = np.array(_off_torch(values))
    except ValueError as error:
        raise DataError(f"{name}: y is not a list of numbers ({error}). Expected [row].") from None
    if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and not np.all(np.mod(array, 1) == 0)):
        raise DataError(f"{name}: y holds {array.dtype} values that are no class numbers. Expected integers 0 .. k-1.")
    if array.size and array.min() < 0:
        raise DataError(f"{name}: y holds label {array.min()}. Expected classes 0 .. k-1.")
    return array.astype(np.int64)


def _refuse_masked(values: Any, which: str, name: str) -> None:
    if is_masked(values):
        raise DataError(
            f"{name}: {which} is a masked array, whose masked values would be used as if they were not masked. "
            "Expected plain numbers: leave those rows out, or fill them in with .filled(value)."
        )
