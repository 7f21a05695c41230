"""``campaign``: the same results everywhere, nothing lost, nothing done twice."""

import json
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import campaigns_for_tests as functions
import numpy as np
import pytest

import bptt_verify as bv
from bptt_verify import cells
from bptt_verify.verify.examples import Result, Task, examined, problem_of

REC = cells.elman
COUNT = 6
SEED = 3


@pytest.fixture(scope="module")
def serial():
    return bv.campaign(functions.right, REC, examples=COUNT, seed=SEED)


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def dask(home, tmp_path_factory):  # its processes inherit what `home` sets
    distributed = pytest.importorskip("distributed", reason="Dask is not installed (extra `dask`)")
    folder = tmp_path_factory.mktemp("dask")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=folder
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client.get_executor(pure=False)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(functions.HOME, str(os.getpid()))
    monkeypatch.setenv(functions.FLAG, str(tmp_path / "flag"))


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_right_function_is_verified(serial):
    assert serial.verdict == "verified"
    assert [r.example for r in serial.results] == list(range(COUNT))
    assert serial.failures == ()
    counted = f"{COUNT} examples: {COUNT} verified"
    assert str(serial).startswith(f"VERIFIED: right against the recurrence elman on {counted}")


def test_the_kernel_of_a_recurrence_and_its_feedback():
    found = bv.campaign(cells.elman_feedback, examples=3, seed=1, feedback="scheduled")
    assert found.verdict == "verified", str(found)
    assert found.subject == "the kernel of elman_feedback"


def test_sizes_and_regimes_vary_and_depend_on_seed_and_number_only():
    drawn = [problem_of(REC, 0, k)[0] for k in range(60)]
    assert {d["T"] for d in drawn} >= {1, 2, 20}
    assert len({(d["d"], d["n"], d["q"]) for d in drawn}) > 30
    again, other = problem_of(REC, 0, 5)[1], problem_of(REC, 1, 5)[1]
    assert all(np.array_equal(v, again[k]) for k, v in problem_of(REC, 0, 5)[1].items())
    assert any(v.shape != again[k].shape or not np.array_equal(v, again[k]) for k, v in other.items())


def test_a_wrong_function_is_refuted_where_it_is_wrong_and_can_be_seen_again():
    steps = {k: problem_of(REC, SEED, k)[0]["T"] for k in range(12)}
    long = [k for k, T in steps.items() if T >= 12][:1]
    examples = sorted(long + [k for k, T in steps.items() if T < 12][:3])
    assert len(examples) == 4
    found = bv.campaign(functions.wrong_where_long, REC, examples=examples, seed=SEED)
    assert found.verdict == "refuted"
    assert [f.example for f in found.failures] == long
    assert found.counts == {"verified": 3, "refuted": 1}
    assert f"refuted: example {long[0]} (T=" in str(found)
    assert f"examples=[{long[0]}], seed={SEED}" in str(found)
    report = bv.check_gradient(functions.wrong_where_long, REC, inputs=found.inputs(long[0]), rng=0)
    assert {f.block for f in report.findings} == {"W_hh"}
    alone = bv.campaign(functions.wrong_where_long, REC, examples=long[:1], seed=SEED)
    assert alone.results == found.failures[:1]


def test_a_function_that_raises_is_refuted():
    found = bv.campaign(functions.failing, REC, examples=2)
    assert found.counts == {"refuted": 2}
    assert "no luck" in found.failures[0].findings[0]


def test_a_check_that_fails_is_an_error_of_one_example(monkeypatch):
    def broken(*args, **more):
        raise ZeroDivisionError("inside")

    monkeypatch.setattr("bptt_verify.verify.examples.check_gradient", broken)
    found = examined(Task(functions.right, REC, "mean", 0), 1)
    assert found.verdict == "error"
    assert found.findings == ("ZeroDivisionError: inside",)
    assert bv.Campaign("s", 0, (found,)).verdict == "inconclusive"


@pytest.mark.parametrize("pool", ["threads", "processes"])
def test_the_same_seed_gives_the_same_results_on_a_pool(pool, serial, request):
    executor = request.getfixturevalue(pool)
    assert bv.campaign(functions.right, REC, examples=COUNT, seed=SEED, executor=executor) == serial


def test_another_seed_gives_other_results(serial):
    other = bv.campaign(functions.right, REC, examples=COUNT, seed=SEED + 1)
    assert [r.sizes for r in other.results] != [r.sizes for r in serial.results]


def test_a_killed_worker_loses_nothing(home, serial, tmp_path):
    path = tmp_path / "results.jsonl"
    with ProcessPoolExecutor(2) as executor:
        found = bv.campaign(
            functions.killed_once, REC, examples=COUNT, seed=SEED, executor=executor, path=path
        )
        with pytest.raises(BrokenProcessPool):
            executor.submit(int)
    assert (tmp_path / "flag").exists()
    assert found.results == serial.results
    assert found.retried > 0
    assert f"{found.retried} were run again" in str(found)
    assert sorted(r["example"] for r in lines(path)[1:]) == list(range(COUNT))


def test_an_example_that_kills_every_worker_is_named(home, tmp_path):
    long = [k for k in range(40) if problem_of(REC, SEED, k)[0]["T"] == 20][:1]
    short = [k for k in range(40) if problem_of(REC, SEED, k)[0]["T"] < 4][:3]
    path = tmp_path / "results.jsonl"
    with ProcessPoolExecutor(2) as executor:
        found = bv.campaign(
            functions.killed_where_long, REC, examples=long + short, seed=SEED, executor=executor, path=path
        )
    assert [f.example for f in found.failures] == long
    assert found.counts == {"verified": 3, "crashed": 1}
    assert found.verdict == "inconclusive"
    assert "died, also when it ran this example alone" in str(found)
    again = bv.campaign(functions.killed_where_long, REC, examples=long + short, seed=SEED, path=path)
    assert again.resumed == 3  # what crashed is tried again, here in the process of the test
    assert again.verdict == "verified"


def test_what_is_in_the_file_is_not_done_again(tmp_path, serial):
    path, seen = tmp_path / "results.jsonl", []
    first = bv.campaign(functions.right, REC, examples=3, seed=SEED, path=path)
    more = bv.campaign(
        functions.right,
        REC,
        examples=COUNT,
        seed=SEED,
        path=path,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert (first.resumed, more.resumed) == (0, 3)
    assert more == serial
    assert seen == [(k, COUNT) for k in range(4, COUNT + 1)]
    before = path.read_bytes()
    assert bv.campaign(functions.right, REC, examples=COUNT, seed=SEED, path=path) == serial
    assert path.read_bytes() == before


def test_an_interrupted_campaign_goes_on(tmp_path, serial):
    path = tmp_path / "results.jsonl"

    def stop(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bv.campaign(functions.right, REC, examples=COUNT, seed=SEED, path=path, progress=stop)
    with path.open("ab") as stream:
        stream.write(b'{"example": 5, "verd')  # a line that was not finished
    again = bv.campaign(functions.right, REC, examples=COUNT, seed=SEED, path=path)
    assert again.resumed == 4
    assert again == serial
    assert len(lines(path)) == COUNT + 1


@pytest.mark.parametrize(
    ("fn", "more", "message"),
    [
        (functions.right, {"seed": 1}, "seed=0; expected seed=1"),
        (functions.failing, {}, "belongs to another campaign: subject='right'; expected subject='failing'"),
        (functions.right, {"reduction": "sum"}, "reduction='mean'"),
    ],
)
def test_a_file_of_another_campaign_is_refused(tmp_path, fn, more, message):
    path = tmp_path / "results.jsonl"
    bv.campaign(functions.right, REC, examples=1, path=path)
    with pytest.raises(bv.UsageError) as caught:
        bv.campaign(fn, REC, examples=1, path=path, **more)
    assert message in str(caught.value)


@pytest.mark.parametrize("content", [b"hello\n", b"[1]\n", b"\xff\xfe\n"])
def test_a_file_that_is_something_else_is_left_alone(tmp_path, content):
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(bv.UsageError, match="no result of a campaign"):
        bv.campaign(functions.right, REC, examples=1, path=path)
    assert path.read_bytes() == content


def test_a_line_that_is_no_result_is_an_error(tmp_path):
    path = tmp_path / "results.jsonl"
    bv.campaign(functions.right, REC, examples=1, path=path)
    with path.open("a") as stream:
        stream.write('{"example": 1}\n')
    with pytest.raises(bv.UsageError, match="line 3 is no result"):
        bv.campaign(functions.right, REC, examples=2, path=path)


def test_a_function_that_cannot_be_sent_is_a_clear_error(processes, threads):
    def local(**arrays):
        return functions.right(**arrays)

    with pytest.raises(bv.UsageError) as caught:
        bv.campaign(local, REC, examples=2, executor=processes)
    assert "local: it cannot be sent to another process" in str(caught.value)
    assert bv.campaign(local, REC, examples=1, executor=threads).verdict == "verified"


@pytest.mark.parametrize(
    ("arguments", "more", "message"),
    [
        ((functions.right,), {}, "against=None; expected a Recurrence"),
        ((REC, REC), {}, "against= with a recurrence"),
        ((3, REC), {}, "fn=3"),
        ((lambda x: x, REC), {}, "takes no argument 'W_hx'"),
        ((REC,), {"examples": 0}, "examples=0"),
        ((REC,), {"examples": [-1]}, "examples=[-1]"),
        ((REC,), {"examples": True}, "examples=True"),
        ((REC,), {"seed": -1}, "seed=-1"),
        ((REC,), {"executor": 2}, "executor=2; expected a concurrent.futures.Executor"),
        ((REC,), {"path": "no/such/folder/results.jsonl"}, "expected a file that can be written"),
        ((functions.right, REC), {"reduction": "total"}, "reduction='total'"),
    ],
)
def test_wrong_use_is_an_error_that_says_what_to_do(arguments, more, message):
    with pytest.raises(bv.UsageError) as caught:
        bv.campaign(*arguments, **more)
    assert message in str(caught.value)


def test_an_executor_that_was_shut_down_is_named():
    with ThreadPoolExecutor(1) as executor:
        pass
    with pytest.raises(bv.UsageError, match="expected one that is running"):
        bv.campaign(REC, examples=1, executor=executor)


def test_half_must_be_verified():
    open_, told = Result(0, "inconclusive"), Result(1, "verified")
    made = bv.Campaign("s", 0, (open_, told))
    assert made.verdict == "verified"
    assert replace(made, results=(open_,)).verdict == "inconclusive"
    assert replace(made, results=(open_, open_, told)).verdict == "inconclusive"
    with pytest.raises(bv.UsageError, match="made by hand"):
        made.inputs(0)


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_of_dask_gives_the_same_and_survives_a_killed_worker(home, serial, tmp_path, dask):
    assert bv.campaign(functions.right, REC, examples=COUNT, seed=SEED, executor=dask) == serial
    found = bv.campaign(functions.killed_once, REC, examples=COUNT, seed=SEED, executor=dask)
    assert (tmp_path / "flag").exists()
    assert found.results == serial.results
