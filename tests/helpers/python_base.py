"""An image that stands in for python:3.11-slim where no registry can be reached.

    build_python_base("evaluator.test/python:3.11-slim", folder, busybox, requirements)

Debian's Python, pip, a shell, and as a folder of wheels what an index would have: so a Dockerfile
that installs a hashed requirements file is built as it stands, without any network.
"""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from evaluator.images import HOLDER, build_holder, name_of
from evaluator.rootfs import fetch_wheels

_DOCKERFILE = """\
FROM {python}
COPY busybox /bin/busybox
COPY busybox /bin/sh
RUN ["/bin/busybox", "--install", "-s", "/bin"]
RUN mkdir -p /usr/local/bin && ln -s /usr/bin/python3.11 /usr/local/bin/python
COPY pip /usr/lib/python3/dist-packages/pip
COPY pip.conf /etc/pip.conf
COPY wheels /wheels
ENV PATH=/usr/local/bin:/usr/bin:/bin
ENTRYPOINT []
CMD ["python"]
"""
_PIP = "[global]\nno-index = true\nfind-links = /wheels\nbreak-system-packages = true\n"


def build_python_base(tag: str, folder: Path, busybox: bytes, requirements: Path) -> str:
    """Build it as `tag`, out of files below `folder`; return its id."""
    build_holder(lambda _: None)
    spec = find_spec("pip")
    assert spec is not None
    assert spec.origin is not None
    shutil.copytree(Path(spec.origin).parent, folder / "pip", dirs_exist_ok=True)
    (folder / "wheels").mkdir()
    for wheel in fetch_wheels(requirements):
        shutil.copy(wheel, folder / "wheels")
    (folder / "busybox").write_bytes(busybox)
    (folder / "busybox").chmod(0o755)
    (folder / "pip.conf").write_text(_PIP)
    (folder / "Dockerfile").write_text(_DOCKERFILE.format(python=name_of(HOLDER)))
    command = ["docker", "build", "--quiet", "--network=none", f"--tag={tag}", str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
