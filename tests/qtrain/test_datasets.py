import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qtrain import datasets
from qtrain.datasets import Dataset
from qtrain.errors import DataError


def write(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_digits_are_pooled_scaled_and_drawn_as_stated():
    train, test = datasets.digits(seed=3)
    assert train.x.shape == (400, 16)
    assert test.x.shape == (300, 16)
    assert train.x.min() >= 0
    assert train.x.max() <= np.pi
    assert set(train.y) == {0, 1, 2, 3}
    from sklearn.datasets import load_digits

    raw = load_digits(n_class=4)
    first = np.random.default_rng(103).permutation(720)[0]
    assert train.y[0] == raw.target[first]
    assert train.x[0, 0] == pytest.approx(raw.images[first][:2, :2].mean() / 16 * np.pi)


def test_train_and_test_rows_of_a_split_share_no_row_and_lose_none():
    data = Dataset(np.arange(20.0)[:, None], np.arange(20) % 2)
    train, test = datasets.split(data, test_fraction=0.3, seed=1)
    assert len(test) == 6
    assert sorted([*train.x[:, 0], *test.x[:, 0]]) == list(range(20))


def test_hash_follows_the_numbers_and_not_the_name():
    a = Dataset(np.eye(2), [0, 1], "a")
    assert a.sha256 == Dataset(np.eye(2), [0, 1], "b").sha256
    assert a.sha256 != Dataset(np.eye(2), [1, 0], "a").sha256
    assert a.sha256 != Dataset(np.eye(2) * (1 + 1e-15), [0, 1], "a").sha256


def test_rows_cannot_be_changed_behind_the_hash():
    data = Dataset(np.eye(2), [0, 1])
    with pytest.raises(ValueError, match="read-only"):
        data.x[0, 0] = 5.0


@settings(deadline=None)
@given(hnp.arrays(np.float64, (6, 3), elements=st.floats(-1e3, 1e3)))
def test_scaled_training_columns_span_the_range_or_are_constant(x):
    (data,) = datasets.scaled(Dataset(x, [0, 1] * 3))
    for j in range(3):
        column = data.x[:, j]
        if np.ptp(x[:, j]) > 0:
            assert column.min() == pytest.approx(0)
            assert column.max() == pytest.approx(np.pi)
        else:
            assert np.all(column == 0)


def test_other_sets_are_scaled_by_the_training_range():
    train = Dataset([[0.0], [2.0]], [0, 1])
    test = Dataset([[4.0]], [0])
    assert datasets.scaled(train, test)[1].x[0, 0] == pytest.approx(2 * np.pi)


def test_csv_with_header_quotes_and_named_label(tmp_path):
    path = write(tmp_path, '"kind","a, b",c\ncat,"1.5",2\n\ndog,3,-4e-1\ncat,0,0\n')
    data = datasets.from_csv(path, label="kind")
    assert data.x.tolist() == [[1.5, 2], [3, -0.4], [0, 0]]
    assert data.y.tolist() == [0, 1, 0]
    assert data.classes == ("cat", "dog")


def test_csv_without_header_takes_the_last_column_as_the_label(tmp_path):
    data = datasets.from_csv(write(tmp_path, "0.1,0.2,1\n0.3,0.4,0\n"))
    assert data.x.shape == (2, 2)
    assert data.y.tolist() == [1, 0]


def test_csv_header_is_found_by_its_words(tmp_path):
    assert len(datasets.from_csv(write(tmp_path, "a,b,label\n1,2,0\n3,4,1\n"))) == 2


def test_npz_round_trip(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, x=np.eye(3, dtype=np.float32), y=np.arange(3))
    data = datasets.load(path)
    assert data.x.dtype == np.float64
    assert data.num_classes == 3


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no rows"),
        ("a,b\n", "a header and no rows"),
        ("1\n2\n", "one column"),
        ("1,2,0\n1,0\n", "line 2 has 2 cells"),
        ("a,b,y\n1,2,0\n1,x,0\n", r"line 3, column 'b': 'x' is not a finite number"),
        ("1,2,0\n1,nan,0\n", r"line 2, column '1': 'nan' is not a finite number"),
        ("1,2,0\n1,,0\n", r"line 2, column '1': '' is not"),
        ("1,2,0\n1,2,\n", r"line 2, column '2': the label is missing"),
        ("1,2,0\n1,2,0.5\n", "label '0.5'"),
        ("1,2,0\n1,2,-1\n", "label '-1'"),
        ("a,a,y\n1,2,0\n", "two columns are named 'a'"),
        ('1,"2,0\n', "cannot be read"),
    ],
)
def test_a_bad_csv_is_refused_by_line_and_column(tmp_path, text, match):
    with pytest.raises(DataError, match=match):
        datasets.from_csv(write(tmp_path, text))


def test_a_label_column_that_is_not_there_is_refused_with_the_header(tmp_path):
    with pytest.raises(DataError, match=r"no column 'z'. The header has: a, y"):
        datasets.from_csv(write(tmp_path, "a,y\n1,0\n"), label="z")


def test_a_binary_file_is_no_csv(tmp_path):
    path = tmp_path / "b.csv"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DataError, match="UTF-8"):
        datasets.from_csv(path)


def test_pickled_arrays_are_never_loaded(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    with pytest.raises(DataError, match="plain numbers"):
        datasets.from_npz(path)


def test_npz_without_y_is_refused(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, x=np.eye(2))
    with pytest.raises(DataError, match="array y is missing; found x"):
        datasets.from_npz(path)


def test_a_truncated_npz_is_refused(tmp_path):
    path = tmp_path / "d.npz"
    np.savez(path, x=np.eye(2), y=np.arange(2))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read"):
        datasets.from_npz(path)


@pytest.mark.parametrize("source", ["nothing.csv", "nothing.npz"])
def test_a_file_that_is_not_there_is_named(tmp_path, source):
    with pytest.raises(DataError, match=f"{source}: no such file"):
        datasets.load(tmp_path / source)


def test_an_unknown_ending_is_refused():
    with pytest.raises(DataError, match="Expected 'digits'"):
        datasets.load("table.xlsx")


@pytest.mark.parametrize(
    ("x", "y", "match"),
    [
        (np.zeros((0, 2)), [], "nothing in it"),
        (np.zeros((2, 0)), [0, 1], "nothing in it"),
        (np.zeros(3), [0, 1, 2], "Expected \\[row, feature\\]"),
        (np.zeros((2, 2)), [0], "one y a row"),
        ([[0.0, np.nan]], [0], "row 0, feature 1 is nan"),
        ([[np.inf]], [0], "is inf"),
        ([[1j]], [0], "real numbers"),
        ([["a"]], [0], "real numbers"),
        ([[1.0], [1.0, 2.0]], [0, 1], "not a table"),
        ([[1.0]], [0.5], "no class numbers"),
        ([[1.0]], [-1], "label -1"),
        ([[1.0]], ["a"], "no class numbers"),
    ],
)
def test_rows_that_are_no_data_set_are_refused(x, y, match):
    with pytest.raises(DataError, match=match):
        Dataset(x, y)


def test_one_class_and_gaps_cannot_be_trained():
    with pytest.raises(DataError, match="every row has class 1"):
        datasets.check_trainable(Dataset(np.eye(2), [1, 1]))
    with pytest.raises(DataError, match="no row has class 1, but the largest label is 2"):
        datasets.check_trainable(Dataset(np.eye(2), [0, 2]))


@pytest.mark.parametrize("fraction", [0, 1, -0.1, float("nan")])
def test_a_test_fraction_outside_its_range_is_refused(fraction):
    with pytest.raises(DataError, match="test_fraction"):
        datasets.split(Dataset(np.eye(2), [0, 1]), test_fraction=fraction)


def test_more_digits_than_there_are_is_refused():
    with pytest.raises(DataError, match="720 together"):
        datasets.digits(train=600, test=200)


@pytest.mark.parametrize("wrap", [list, tuple, "tensors", "single", "tensor data set", "subset"])
def test_pairs_tensors_and_torch_data_sets_are_rows(wrap):
    x, y = np.random.default_rng(0).uniform(0, 3, (6, 2)), np.arange(6) % 2
    tensors = torch.tensor(x, requires_grad=True), torch.tensor(y)
    made = torch.utils.data.TensorDataset(*tensors)
    given = {
        "tensors": tensors,
        "single": (torch.tensor(x).to(torch.bfloat16).double().float(), tensors[1]),
        "tensor data set": made,
        "subset": torch.utils.data.Subset(made, range(6)),
    }.get(wrap) or wrap((x, y))
    data = datasets.as_dataset(given, "rows")
    np.testing.assert_allclose(data.x, x, rtol=0.01 if wrap == "single" else 0)
    np.testing.assert_array_equal(data.y, y)
    assert data.name == "rows"


@pytest.mark.parametrize("given", [None, "digits", np.eye(2), (1, 2, 3), iter([(1, 2)])])
def test_what_is_no_pair_is_refused(given):
    with pytest.raises(DataError, match=r"rows is a .*Expected a qtrain.Dataset, a pair \(x, y\), or a torch data set"):
        datasets.as_dataset(given, "rows")


def test_a_ragged_label_column_is_refused():
    with pytest.raises(DataError, match="y is not a list of numbers"):
        Dataset(np.eye(2), [[0], [1, 2]])


def test_a_first_row_with_a_missing_number_is_a_damaged_row_and_no_header(tmp_path):
    with pytest.raises(DataError, match="line 1, column '1': '' is not a finite number"):
        datasets.from_csv(write(tmp_path, "0.1,,1\n0.2,0.3,0\n"))
    assert len(datasets.from_csv(write(tmp_path, ",a,y\n0,0.2,1\n1,0.3,0\n"))) == 2
