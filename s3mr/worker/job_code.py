"""Load the code of the job that a worker works for: fetch, verify, unpack and import it, one job at a time."""

from dataclasses import dataclass
from pathlib import Path

from s3mr import limits
from s3mr.errors import InvariantError, S3mrError, UserCodeError
from s3mr.formats.registry import forget_formats
from s3mr.model import object_names
from s3mr.model.job import BundleRef, JobSpec
from s3mr.ports import ObjectStore
from s3mr.usercode.bundle import open_bundle
from s3mr.usercode.imports import forget, import_from
from s3mr.usercode.parameters import set_parameters
from s3mr.usercode.tracebacks import users_traceback
from s3mr.worker.user_functions import Functions


@dataclass(slots=True, eq=False)
class JobCode:
    """The code that this process has loaded. Bundles are unpacked in the folder ``bundles``.

    A module may read `s3mr.params` while it is imported. So the functions are reused only for the same module and
    bundle with the same parameters. Otherwise, the module and the modules beside it are imported again.
    """

    bundles: Path
    _bundle: BundleRef | None = None
    _params: dict[str, str] | None = None
    _functions: Functions | None = None

    def load(self, spec: JobSpec, objects: ObjectStore) -> Functions:
        """Return the functions of the job from its bundle, and set its parameters.

        Raises:
            UserCodeError: the module cannot be imported here, or has no such job.
            InvariantError: the bundle is damaged, or has content that is not allowed.
        """
        set_parameters(spec.request.params)
        if self._functions is None or (self._bundle, self._params) != (spec.bundle, spec.request.params):
            self._forget(spec.bundle)
            self._bundle, self._params = spec.bundle, dict(spec.request.params)
            self._functions = load_functions(self._unpacked(spec, objects), spec)
        return self._functions

    def _forget(self, following: BundleRef) -> None:
        self._functions = None
        forget_formats()
        if self._bundle is not None:
            same = self._bundle.sha256 == following.sha256
            forget(self.bundles / self._bundle.sha256, keep_packages=same)

    def _unpacked(self, spec: JobSpec, objects: ObjectStore) -> Path:
        data = bytearray()
        for block in objects.stream(object_names.bundle(spec.job_id)):
            data += block
            if len(data) > limits.BUNDLE_BYTES_MAX:
                raise InvariantError(f"the bundle is too large: at most {limits.BUNDLE_BYTES_MAX:,} bytes")
        return open_bundle(bytes(data), spec.bundle.sha256, self.bundles)


def load_functions(folder: Path, spec: JobSpec) -> Functions:
    """Import the job's module from an unpacked bundle, and return its functions.

    Raises:
        UserCodeError: the module cannot be imported here, or has no such job.
    """
    try:
        module = import_from(folder, spec.bundle.module)
        job = getattr(module, spec.bundle.name)
        return Functions(
            map=job.map, reduce=job.reduce, combine=job.combine, partition=job.partition, folder=str(folder)
        )
    except S3mrError:
        raise
    except (Exception, SystemExit) as error:  # user code runs at import
        what, shown = users_traceback(error, folder=str(folder))
        raise UserCodeError(
            f"the job's module {spec.bundle.module} cannot be imported in a worker: {what}; put the files that it "
            "imports beside it and import them at its top, or add them with --include or --requirements",
            traceback=shown,
        ) from error
