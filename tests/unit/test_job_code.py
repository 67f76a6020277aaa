"""A worker verifies code before it loads it, and never runs the code of another job."""

import hashlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from s3mr import limits
from s3mr.adapters.memory.memory_stores import MemoryObjectStore
from s3mr.errors import InvariantError, RequestError, UserCodeError
from s3mr.formats import get_format
from s3mr.model import object_names
from s3mr.model.job import BundleRef, JobSpec
from s3mr.usercode.bundle import make_bundle
from s3mr.usercode.parameters import set_parameters
from s3mr.worker.job_code import JobCode
from tests.submissions import some_spec

TWO_JOBS = """
from s3mr import Job, params
import beside
SEEN = params.get("x", "-")
def one(source, record): return "one", SEEN, params.get("x", "-")
def two(source, record): return "two", SEEN, params.get("x", "-")
first, second = Job(map=one), Job(map=two)
"""


class JobBundles:
    """Bundles and the jobs that need them, with a worker that has not loaded any."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = MemoryObjectStore()
        self.code = JobCode(folder / "bundles")

    def job(self, files: Mapping[str, str], *, module: str = "jobs.py", name: str = "first", **params: str) -> JobSpec:
        paths = {}
        for file, text in files.items():
            paths[file] = self.folder / hashlib.sha256(text.encode()).hexdigest()
            paths[file].write_text(text)
        bundle = make_bundle(paths)
        job_id = f"job-{len(list(self.objects.list('')))}"
        self.objects.put(object_names.bundle(job_id), bundle)
        return spec(job_id, BundleRef(sha256=hashlib.sha256(bundle).hexdigest(), module=module, name=name), params)

    def call(self, job: JobSpec) -> Any:
        return self.code.load(job, self.objects).map("", "")


def spec(job_id: str, bundle: BundleRef, params: dict[str, str]) -> JobSpec:
    return some_spec(job_id=job_id, bundle=bundle, reducers=0, params=params)


@pytest.fixture
def bundles(tmp_path: Path) -> Iterator[JobBundles]:
    modules, path = set(sys.modules), list(sys.path)
    yield JobBundles(tmp_path)
    for name in set(sys.modules) - modules:
        del sys.modules[name]
    sys.path[:] = path
    set_parameters({})


def test_two_jobs_of_one_bundle_are_distinguished_by_name(bundles: JobBundles) -> None:
    files = {"jobs.py": TWO_JOBS, "beside.py": ""}
    first, second = bundles.job(files), bundles.job(files, name="second")
    assert first.bundle.sha256 == second.bundle.sha256
    assert [bundles.call(job)[0] for job in (first, second, first)] == ["one", "two", "one"]


def test_two_jobs_of_one_bundle_are_distinguished_by_module(bundles: JobBundles) -> None:
    files = {
        "jobs.py": TWO_JOBS,
        "more.py": TWO_JOBS.replace("'one'", "''").replace('"one"', '"more"'),
        "beside.py": "",
    }
    first, other = bundles.job(files), bundles.job(files, module="more.py")
    assert [bundles.call(job)[0] for job in (first, other, first)] == ["one", "more", "one"]


@pytest.mark.parametrize("module", ["jobs.py", "jobs"])
def test_a_module_that_reads_parameters_at_import_sees_those_of_its_own_job(bundles: JobBundles, module: str) -> None:
    files = {"jobs.py": TWO_JOBS, "beside.py": ""}
    plain, x1, x2 = (bundles.job(files, module=module, **more) for more in ({}, {"x": "1"}, {"x": "2"}))
    seen = [bundles.call(job)[1:] for job in (x1, x2, plain, x1)]
    assert seen == [("1", "1"), ("2", "2"), ("-", "-"), ("1", "1")]


def test_code_finds_included_files_beside_its_own_file(bundles: JobBundles) -> None:
    reading = """
from pathlib import Path
from s3mr import Job
TABLE = (Path(__file__).parent / "data/table.json").read_text()
first = Job(map=lambda source, record: TABLE)
"""
    assert bundles.call(bundles.job({"jobs.py": reading, "data/table.json": "[1]"})) == "[1]"


def test_a_job_uses_the_format_that_its_own_module_registered(bundles: JobBundles) -> None:
    declaring = """
from s3mr import Job
from s3mr.formats import register_format
class Mine:
    name, sign = "mine", {sign!r}
    def records(self, blocks): return blocks
register_format(Mine())
first = Job(map=lambda source, record: None)
"""
    plain = bundles.job({"jobs.py": "from s3mr import Job\nfirst = Job(map=lambda source, record: None)"})
    one, two = (bundles.job({"jobs.py": declaring.format(sign=sign)}) for sign in ("one", "two"))
    again = bundles.job({"jobs.py": declaring.format(sign="one")}, x="another parameter: the module is imported again")
    for job, sign in ((one, "one"), (two, "two"), (one, "one"), (again, "one")):
        bundles.call(job)
        assert getattr(get_format("mine"), "sign", None) == sign
    bundles.call(plain)
    with pytest.raises(RequestError, match="there is no format 'mine'"):
        get_format("mine")


def test_the_same_job_is_imported_once(bundles: JobBundles) -> None:
    job = bundles.job({"jobs.py": TWO_JOBS, "beside.py": ""})
    assert bundles.code.load(job, bundles.objects) is bundles.code.load(job, bundles.objects)
    assert bundles.code.load(job.model_copy(update={"job_id": "another"}), bundles.objects).folder


def test_a_job_does_not_see_the_files_of_another_bundle(bundles: JobBundles) -> None:
    bundles.call(bundles.job({"jobs.py": TWO_JOBS, "beside.py": ""}))
    lonely = bundles.job({"jobs.py": TWO_JOBS})
    with pytest.raises(UserCodeError, match="No module named 'beside'"):
        bundles.call(lonely)


def test_two_bundles_with_modules_of_the_same_name_use_their_own(bundles: JobBundles) -> None:
    one, two = ({"jobs.py": JOB_OF_BESIDE, "beside.py": f"VALUE = {value}"} for value in (1, 2))
    assert [bundles.call(bundles.job(files)) for files in (one, two, one)] == [1, 2, 1]


JOB_OF_BESIDE = """
import beside
from s3mr import Job
first = Job(map=lambda source, record: beside.VALUE)
"""


def test_a_module_that_failed_is_imported_again(bundles: JobBundles) -> None:
    job = bundles.job({"jobs.py": "1 / 0"})
    for _ in range(2):
        with pytest.raises(UserCodeError, match="ZeroDivisionError"):
            bundles.call(job)


def test_code_of_a_bundle_runs_only_after_its_checksum_is_verified(bundles: JobBundles, tmp_path: Path) -> None:
    job = bundles.job({"jobs.py": f"open({str(tmp_path / 'ran')!r}, 'w')"})
    forged = job.model_copy(update={"bundle": job.bundle.model_copy(update={"sha256": "0" * 64})})
    with pytest.raises(InvariantError, match="SHA-256"):
        bundles.call(forged)
    assert not (tmp_path / "ran").exists()


def test_an_endless_object_in_place_of_a_bundle_is_not_read_to_its_end(bundles: JobBundles) -> None:
    job = bundles.job({"jobs.py": TWO_JOBS})
    bundles.objects.put(object_names.bundle(job.job_id), bytes(limits.BUNDLE_BYTES_MAX + 1))
    with pytest.raises(InvariantError, match="too large"):
        bundles.call(job)


def test_modules_that_the_worker_uses_are_not_replaced_by_files_of_the_same_name(bundles: JobBundles) -> None:
    import msgpack

    import_all = "import msgpack, pydantic\nfrom s3mr import Job\nfirst = Job(map=lambda s, r: msgpack.__file__)\n"
    files = {"jobs.py": import_all, "msgpack.py": "1 / 0", "_requirements/pydantic.py": "1 / 0"}
    assert bundles.call(bundles.job(files)) == msgpack.__file__
