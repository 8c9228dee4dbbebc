# SPDX-License-Identifier: MIT
"""`make install` into an empty folder, and programs of each kind built against what it left."""
import os
import re
import shlex
import subprocess

import pytest

BUILD = os.environ["KV_BUILD"]
SOURCE = os.environ["KV_SOURCE"]
CONSUMER = os.path.join(SOURCE, "tests", "system", "consumer")
COMPILERS = {"c": ["cc", "-std=c99"], "cpp": ["c++", "-std=c++11"]}
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The folder that stands for / of an installation under /opt/kv."""
    root = tmp_path_factory.mktemp("root")
    build = tmp_path_factory.mktemp("build")
    said = run(["make", "-C", SOURCE, "install", f"BUILD={build}/install", "PREFIX=/opt/kv", f"DESTDIR={root}"])
    assert "warning:" not in said
    return root


@pytest.fixture(scope="module")
def prefix(tree):
    return tree / "opt" / "kv"


def pkg_config(tree, *arguments):
    environment = dict(
        os.environ,
        PKG_CONFIG_PATH=str(tree / "opt/kv/lib/pkgconfig"),
        PKG_CONFIG_SYSROOT_DIR=str(tree),
    )
    return shlex.split(run(["pkg-config", *arguments, "kvstore"], env=environment))


def says_ok(program, library_path=None):
    environment = dict(os.environ)
    environment.pop("LD_LIBRARY_PATH", None)
    if library_path:
        environment["LD_LIBRARY_PATH"] = str(library_path)
    assert run([str(program)], env=environment) == "ok\n"


def test_everything_is_there(prefix):
    for name in os.listdir(os.path.join(SOURCE, "include", "concordkv")):
        assert (prefix / "include" / "concordkv" / name).is_file()
    for name in ("libkvstore.so", "libkvstore.so.0", "libkvstore.a", "pkgconfig/kvstore.pc"):
        assert (prefix / "lib" / name).exists()
    assert os.readlink(prefix / "lib" / "libkvstore.so") == "libkvstore.so.0"


def test_nothing_else_is_there(prefix):
    allowed = r"(bin/kv\w+|include/concordkv/\w+\.(h|hpp)|lib/libkvstore\.(a|so[.\d]*)|lib/pkgconfig/kvstore\.pc"
    allowed += r"|lib/cmake/kvstore/kvstoreConfig(Version)?\.cmake|share/.*)"
    for folder, _, names in os.walk(prefix):
        for name in names:
            path = os.path.relpath(os.path.join(folder, name), prefix)
            assert re.fullmatch(allowed, path), path


def test_the_archive_is_complete(prefix, tmp_path):
    """A thin archive would point back into the build folder."""
    with open(prefix / "lib" / "libkvstore.a", "rb") as file:
        assert file.read(8) == b"!<arch>\n"


@pytest.mark.parametrize("language", COMPILERS)
def test_pkg_config_shared(tree, prefix, tmp_path, language):
    source = os.path.join(CONSUMER, f"consumer.{language}")
    program = tmp_path / "consumer"
    flags = pkg_config(tree, "--cflags", "--libs")
    run([*COMPILERS[language], *WARNINGS, source, "-o", str(program), *flags])
    needed = run(["objdump", "-p", str(program)])
    assert re.search(r"NEEDED\s+libkvstore\.so\.0\n", needed)
    assert "xxhash" not in needed
    says_ok(program, prefix / "lib")


@pytest.mark.parametrize("language", COMPILERS)
def test_pkg_config_static(tree, tmp_path, language):
    source = os.path.join(CONSUMER, f"consumer.{language}")
    program = tmp_path / "consumer"
    flags = pkg_config(tree, "--static", "--cflags", "--libs")
    run([*COMPILERS[language], *WARNINGS, source, "-o", str(program), "-static", *flags])
    says_ok(program)


def test_cmake(prefix, tmp_path):
    folder = tmp_path / "cmake"
    run(["cmake", "-S", CONSUMER, "-B", str(folder), f"-DCMAKE_PREFIX_PATH={prefix}"])
    run(["cmake", "--build", str(folder)])
    for language in COMPILERS:
        says_ok(folder / f"consumer_{language}_kvstore", prefix / "lib")
        says_ok(folder / f"consumer_{language}_static")


def test_cmake_refuses_another_version(prefix, tmp_path):
    with open(os.path.join(CONSUMER, "CMakeLists.txt"), encoding="utf-8") as file:
        text = file.read().replace("kvstore 0.1 ", "kvstore 1.0 ")
    (tmp_path / "CMakeLists.txt").write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["cmake", "-S", str(tmp_path), "-B", str(tmp_path / "b"), f"-DCMAKE_PREFIX_PATH={prefix}"],
        capture_output=True, text=True, check=False,
    )
    assert done.returncode != 0
    assert "requested version" in done.stderr
