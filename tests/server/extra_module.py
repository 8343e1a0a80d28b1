"""Builds the modules in C that tests load beside ours."""

import atexit
import functools
import pathlib
import shutil
import subprocess
import tempfile

import httpd_config


@functools.lru_cache
def load_line(source, name):
    """The LoadModule line of a source beside this file; builds it when it is first asked for."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="wsb-module-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    shutil.copy(pathlib.Path(__file__).with_name(source), directory)
    built = subprocess.run([httpd_config.APXS, "-c", "-Wc,-Wall", "-Wc,-Werror", source], cwd=directory,
                           check=False, capture_output=True, text=True, timeout=60)
    assert built.returncode == 0, built.stderr[:2000]
    return f"LoadModule {name} {directory}/.libs/{pathlib.Path(source).stem}.so"
