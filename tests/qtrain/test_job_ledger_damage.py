"""Whatever happens to the process or the disk, the ledger knows what was sent and what was paid for, or says it."""

import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from qtrain.errors import RunError, StorageError
from qtrain.jobs import JobLedger
from tests.qtrain.test_job_ledger import job, results

WRITER = """
    import sys, numpy as np
    from qtrain.chip.types import JobRecord
    from qtrain.jobs import JobLedger
    ledger = JobLedger(sys.argv[1])
    for i in range(len(ledger.jobs()), 10_000):
        tag = f"t{i}"
        ledger.intend(JobRecord(tag, tag, "intent", i, "fake", "sha", 1, 1, 1.0))
        print("intent", tag, flush=True)
        ledger.submitted(tag, f"id-{i}")
        print("submitted", tag, flush=True)
        ledger.done(tag, [(f"{tag}-{k}", 1, np.full(50, i + k / 100)) for k in range(100)])
        print("done", tag, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_all_that_it_said_and_nothing_by_halves(tmp_path):
    path, chance, said = tmp_path / "jobs.sqlite3", random.Random(0), {}
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(path)], stdout=subprocess.PIPE, text=True
        )
        first = process.stdout.readline()
        assert first, "the writer could not begin"
        time.sleep(chance.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        rest, _ = process.communicate(timeout=30)
        for line in (first + rest).splitlines():
            state, tag = line.split()
            said[tag] = state
        with JobLedger.read(path) as ledger:
            jobs = {j.tag: j for j in ledger.jobs()}
            order = ("intent", "submitted", "done")
            for tag, state in said.items():
                assert order.index(jobs[tag].state) >= order.index(state)
            assert len(jobs) <= len(said) + 1, "at most one call was under way"
            for number, (tag, record) in enumerate(jobs.items()):
                known = ledger.known([f"{tag}-{k}" for k in range(100)])
                assert len(known) == (100 if record.state == "done" else 0)
                for k in range(len(known)):
                    assert (known[f"{tag}-{k}"][1] == number + k / 100).all()
    assert len(said) > 2


# --- damage


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "jobs.sqlite3"
    with JobLedger(path) as ledger:
        ledger.intend(job())
        ledger.done("a", [(f"p{i}", 1, np.full(100, i + 0.5)) for i in range(50)])
    return path


def both(path):
    for opens in (JobLedger, JobLedger.read):
        with pytest.raises(RunError) as caught:
            opens(path)
        yield str(caught.value)


@pytest.mark.parametrize("data", [b"", b"not a database at all" * 99], ids=["empty", "text"])
def test_a_file_of_another_kind_is_refused_with_the_way_out(kept, data):
    kept.write_bytes(data)
    for said in both(kept):
        assert "jobs.sqlite3: damaged" in said
        assert "restore it from a backup, or train anew in another run directory" in said
    assert kept.read_bytes() == data


def test_a_truncated_file_is_refused(kept):
    data = kept.read_bytes()
    kept.write_bytes(data[: len(data) // 2])
    with pytest.raises(RunError, match="damaged"):
        JobLedger(kept)


def test_a_page_of_rubbish_is_found_at_the_beginning_and_not_in_the_middle_of_a_run(kept):
    data = bytearray(kept.read_bytes())
    place = data.find(np.full(100, 7.5).tobytes()) // 4096 * 4096
    data[place : place + 200] = b"\xff" * 200
    kept.write_bytes(data)
    with pytest.raises(RunError, match="damaged"):
        JobLedger(kept)


def test_somebody_elses_database_and_another_format_are_refused(kept):
    with sqlite3.connect(kept) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    for said in both(kept):
        assert "format = 99. This version reads 1" in said
    kept.unlink()
    with sqlite3.connect(kept) as other:
        other.execute("CREATE TABLE jobs (id)")
    other.close()
    for said in both(kept):
        assert "a file of another kind" in said


def test_one_flipped_bit_in_a_result_is_found_where_it_is_used(kept):
    data = bytearray(kept.read_bytes())
    place = data.find(np.full(100, 7.5).tobytes())
    assert place > 0
    data[place + 400] ^= 1
    kept.write_bytes(data)
    ledger = JobLedger(kept)
    assert len(ledger.known(["p6", "p8"])) == 2
    with pytest.raises(RunError, match="the result of point p7 is not what was written"):
        ledger.known(["p7"])


def test_a_missing_file_is_named_by_a_reader(tmp_path):
    with pytest.raises(RunError, match=r"jobs.sqlite3 is missing"):
        JobLedger.read(tmp_path / "jobs.sqlite3")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError, match=r"none/jobs.sqlite3: cannot"):
        JobLedger(tmp_path / "none" / "jobs.sqlite3")


def test_a_full_disk_is_an_error_and_what_was_written_before_stays(kept):
    ledger = JobLedger(kept)
    pages = ledger._file.select("PRAGMA page_count")[0][0]
    ledger._file.select(f"PRAGMA max_page_count = {pages}")
    ledger.intend(job("b"))
    with pytest.raises(StorageError, match=r"disk is full.*untouched"):
        ledger.done("b", [(f"q{i}", 1, np.zeros(1000)) for i in range(50)])
    assert ledger.known(["q0"]) == {}
    assert [j.state for j in ledger.jobs()] == ["done", "intent"]
    ledger._file.select("PRAGMA max_page_count = 100000")
    ledger.done("b", results("q0"))
    assert list(ledger.known(["q0"])) == ["q0"]


def test_a_ledger_that_is_moved_away_under_its_writer_is_an_error_before_anything_is_sent(kept):
    ledger = JobLedger(kept)
    kept.rename(kept.with_name("elsewhere"))
    with pytest.raises(StorageError, match=r"jobs.sqlite3: cannot be"):
        ledger.intend(job("b"))


def test_a_writer_killed_while_it_made_the_file_leaves_none(tmp_path):
    path = tmp_path / "jobs.sqlite3"
    path.with_name(".jobs.sqlite3.partial").write_bytes(b"half")
    assert JobLedger(path).jobs() == []
    assert [p.name for p in tmp_path.iterdir()] == ["jobs.sqlite3"]
