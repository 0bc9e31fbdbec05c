"""What is run before a change is merged: ``nox -l`` lists it, ``nox -s fast`` runs a part.

Environments are kept from one call to the next (``nox -R`` does not even look for new versions).
"""

from __future__ import annotations

import nox

nox.options.reuse_venv = "yes"
nox.options.sessions = ["fast"]
nox.options.default_venv_backend = "venv"
BUILD = ("torch", "setuptools", "ninja", "pybind11")
CLANG_FORMAT = "git ls-files -z 'csrc/*.h' 'csrc/*.cpp' 'csrc/*.cu' | xargs -0 clang-format"
PARALLEL = ("-n", "logical")


def install(session: nox.Session, constraints: str, extras: str, *more: str) -> None:
    """The package, built in place against the pinned torch."""
    session.env["SDV_WGANGP_REQUIRE_EXTENSION"] = "1"
    session.install("-c", constraints, *BUILD)
    session.install("-c", constraints, "--no-build-isolation", "-e", f".[{extras}]", *more)


@nox.session
def fast(session: nox.Session) -> None:
    """Style, and the tests that take no minutes."""
    install(session, "constraints.txt", "test")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("python", "-m", "pytest", "-q", *PARALLEL, "-m", "fast", *session.posargs)


@nox.session
def full(session: nox.Session) -> None:
    """Every test of the package, a seeded tenth of those in tests/soak."""
    install(session, "constraints.txt", "test")
    session.run("python", "-m", "pytest", "-q", *PARALLEL, *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The Python in the documents, and the examples."""
    install(session, "constraints.txt", "test")
    tests = ["tests/test_docs.py", "tests/test_recipes.py", "tests/test_examples.py"]
    session.run("python", "-m", "pytest", "-q", *PARALLEL, *tests, *session.posargs)


@nox.session
def site(session: nox.Session) -> None:
    """The site of the documents, in build/site; a warning is an error."""
    install(session, "constraints.txt", "docs")
    session.run("sphinx-build", "-W", "-q", "-b", "html", "docs", "build/site")


@nox.session
def types(session: nox.Session) -> None:
    """Types, and the style of C++."""
    install(session, "constraints.txt", "dev")
    session.run("mypy")
    session.run("bash", "-c", f"{CLANG_FORMAT} --dry-run --Werror", external=True)


@nox.session
def kernels(session: nox.Session) -> None:
    """The compiled operators under the sanitizers of the compiler."""
    install(session, "constraints.txt", "test")
    session.run("bash", "csrc/sanitize.sh", *session.posargs, external=True)


@nox.session(venv_backend="none")
def trackers(session: nox.Session) -> None:
    """TensorBoard, Aim, Optuna, MLflow, Weights & Biases: an environment of their own."""
    session.run("bash", ".ci/trackers", *session.posargs, external=True)


@nox.session
def soak(session: nox.Session) -> None:
    """The long versions of tests: every step, every kill. Hours."""
    install(session, "constraints.txt", "test")
    session.run(
        "python",
        "-m",
        "pytest",
        "-q",
        *PARALLEL,
        "tests/soak",
        *session.posargs,
        env={"SOAK": "1"},
    )
