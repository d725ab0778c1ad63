"""The price table: what is stored, what a row may hold, who goes first."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

import qcompile
from qcompile import CalibrationError, Device, InputError, list_devices, load_device, price, prices, save_device
from qcompile.device import Pricing
from qcompile.prices import FILE_NAME, prices_of, read_prices
from qcompile.schema import PRICES_OF_MODEL
from qcompile.vendors.ibm import _PRICING as IBM_PRICE

ROW = {
    "name": "shop/chip", "vendor": "shop", "devices": ["my_*"], "model": "task_shot", "usd_per_task": 0.5,
    "usd_per_shot": 0.25, "as_of": "2026-10", "source": "a till receipt",
}  # fmt: skip


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("QONCHIP_DEVICES", str(tmp_path))
    return tmp_path


def text(*rows: dict) -> str:
    return json.dumps({"schema": "qcompile.prices/1", "prices": list(rows)})


def refusal(*rows: dict) -> str:
    with pytest.raises(CalibrationError) as refused:
        read_prices(text(*rows), "pricing.json")
    assert str(refused.value).startswith("pricing.json: ")
    return str(refused.value)


# --- what is stored ---


def test_every_stored_price_has_date_source_and_the_numbers_of_its_model() -> None:
    assert {entry.vendor for entry in prices()} >= {"ibm", "braket", "azure", "quantinuum", "iqm"}
    assert {entry.pricing.model for entry in prices()} == PRICES_OF_MODEL.keys() - {"none"}
    for entry in prices():
        assert entry.pricing.as_of >= "2025"
        assert entry.pricing.source
        assert entry.third_party == ("third" in entry.pricing.source and entry.name != "ibm/pay-as-you-go")
        assert ("third-party" in entry.words()) == entry.third_party


@pytest.mark.parametrize(
    ("device", "names"),
    [
        ("iqm_garnet", ("braket/iqm-garnet", "iqm/resonance")),
        ("IQM-Garnet", ("braket/iqm-garnet", "iqm/resonance")),
        ("rigetti_cepheus_1_108q", ("braket/rigetti-cepheus",)),
        ("ionq_forte_1", ("braket/ionq-forte", "azure/ionq-forte-mitigated")),
        ("ionq_aria_1", ("braket/ionq-aria", "azure/ionq-aria", "azure/ionq-aria-mitigated")),
        ("quantinuum_h2_1", ("quantinuum/hqc",)),
        ("ibm_torino", ()),
        ("uniform", ()),
    ],
)
def test_devices_find_their_prices(device: str, names: tuple[str, ...]) -> None:
    assert tuple(entry.name for entry in prices_of(device)) == names


def test_ibm_s_loader_and_the_table_name_one_price() -> None:
    assert price("ibm/pay-as-you-go").pricing == Pricing(**IBM_PRICE)
    assert load_device("ibm_manila").pricing == Pricing(**IBM_PRICE)


def test_the_table_is_no_device() -> None:
    assert FILE_NAME not in {stored.path.name for stored in list_devices()}


def test_unknown_price_names_near_ones() -> None:
    with pytest.raises(InputError, match="ibm/flex"):
        price("ibm/flexi")


# --- the user's own ---


def test_the_user_s_prices_come_first_and_replace_stored_ones(own_folder) -> None:
    mine = ROW | {"name": "braket/iqm-garnet", "devices": ["iqm_garnet"]}
    (own_folder / FILE_NAME).write_text(text(ROW, mine))
    assert [entry.name for entry in prices()][:2] == ["shop/chip", "braket/iqm-garnet"]
    assert len(prices()) == len({entry.name for entry in prices()})
    assert price("braket/iqm-garnet").pricing.usd_per_task == 0.5
    chip = replace(Device.from_coupling([(0, 1)]), name="my_chip")
    assert qcompile.cost(qcompile.compile("OPENQASM 3.0; qubit[1] q;", chip), shots=2).usd == 1.0


def test_a_changed_file_is_read_again(own_folder) -> None:
    path = own_folder / FILE_NAME
    path.write_text(text(ROW))
    assert price("shop/chip").pricing.usd_per_task == 0.5
    path.write_text(text(ROW | {"usd_per_task": 0.7}))
    os.utime(path, ns=(1, 1))
    assert price("shop/chip").pricing.usd_per_task == 0.7


# --- what a row may hold ---


@pytest.mark.parametrize("missing", ["name", "vendor", "devices", "model", "as_of", "source", "usd_per_task"])
def test_what_is_missing_is_named(missing: str) -> None:
    message = refusal({key: value for key, value in ROW.items() if key != missing})
    assert "prices[0]" in message
    assert missing in message


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"usd_per_shots": 0.1}, "Did you mean 'usd_per_shot'?"),
        ({"nonsense": 1}, "not a field"),
        ({"usd_per_shot": -0.1}, "prices[0].usd_per_shot = -0.1 is not a price"),
        ({"usd_per_shot": "0.1"}, "is not a price"),
        ({"usd_per_shot": True}, "is not a price"),
        ({"usd_per_second": 1.0}, "holds usd_per_second, which no price by task_shot has"),
        ({"usd_per_2q": 1.0}, "holds usd_per_2q"),
        ({"circuits_per_task": 0}, "circuits_per_task"),
        ({"as_of": "last week"}, "prices[0].as_of = 'last week' is not a date"),
        ({"as_of": "2026-13"}, "is not a date"),
        ({"as_of": "2026-02-30"}, "is not a date"),
        ({"source": " "}, "where the price was read"),
        ({"model": "barter"}, "prices[0].model"),
        ({"devices": "my_*"}, "prices[0].devices"),
    ],
)
def test_bad_rows_are_refused_with_place_value_and_rule(change: dict, part: str) -> None:
    assert part in refusal(ROW | change)


def test_repeats_and_broken_files_are_refused(own_folder) -> None:
    assert "'shop/chip' occurs twice" in refusal(ROW, ROW)
    for broken, part in (
        ("{", "line 1 column"),
        ('{"schema": "qcompile.prices/1", "prices": [], "prices": []}', "'prices' occurs twice"),
        ('{"schema": "qcompile.prices/9", "prices": []}', "schema"),
        ('{"schema": "qcompile.prices/1", "prices": NaN}', "NaN"),
        ("[]", "the file = [] is no JSON object"),
        ("[" * 100_000, "cannot be parsed"),
        (f'{{"schema": {"9" * 5000}}}', "cannot be parsed"),
    ):
        with pytest.raises(CalibrationError, match=r"pricing\.json") as refused:
            read_prices(broken, "pricing.json")
        assert part in str(refused.value)
    (own_folder / FILE_NAME).write_bytes(b"\xff")
    with pytest.raises(CalibrationError, match="cannot be read"):
        prices()
    (own_folder / FILE_NAME).write_text("{")
    with pytest.raises(CalibrationError) as refused:
        prices()
    assert str(refused.value).startswith(f"{own_folder / FILE_NAME}: "), "which of the two files it is"


def test_month_and_day_are_dates() -> None:
    for day in ("2026-09", "2024-02-29"):
        assert read_prices(text(ROW | {"as_of": day}), "x")[0].pricing.as_of == day


# --- Pricing ---


@pytest.mark.parametrize("name", ["azure/ionq-aria", "braket/iqm-garnet", "quantinuum/hqc", "ibm/flex"])
def test_every_price_survives_a_calibration_file(tmp_path, name: str) -> None:
    device = replace(Device.from_coupling([(0, 1)]), pricing=price(name).pricing)
    assert load_device(save_device(device, tmp_path / "chip.json")) == device
