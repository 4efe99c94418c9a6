"""`lexmove cluster`: files on stdout, as they are."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
import yaml
from typer.testing import CliRunner, Result

from architecture.readme_commands import shown
from lexmove.cli.verbs import app
from lexmove.cluster import deployments

PAGES = ("", "grafana", "kuberay", "hosts")
HEAVY = ("torch", "ray", "numpy", "rich.table")


@pytest.fixture
def lexmove(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("COLUMNS", "100")
    return lambda *words: CliRunner().invoke(app, words, prog_name="lexmove")


def test_help_is_frozen_and_has_examples(lexmove, golden):
    words = [["cluster", *page.split(), "--help"] for page in PAGES]
    texts = {" ".join(["lexmove", *page]): lexmove(*page).stdout for page in words}
    golden("cli_help_cluster.txt", "\n".join(f"$ {title}\n{text}" for title, text in texts.items()))
    for page in PAGES[1:]:
        example = f"Example: lexmove cluster {page}"
        assert example in texts[f"lexmove cluster {page} --help"]


def test_the_dashboard_is_written_as_it_is(lexmove):
    done = lexmove(*shown("lexmove cluster grafana"))
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == json.loads(deployments.grafana_dashboard())


@pytest.mark.parametrize("kind", ["job", "cluster"])
def test_yaml_for_kuberay_is_written_as_it_is(kind, lexmove):
    done = lexmove("cluster", "kuberay", kind)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == deployments.kuberay(kind)


def test_a_job_is_what_most_want(lexmove):
    assert lexmove("cluster", "kuberay").stdout == deployments.kuberay("job")


def test_hosts_are_filled_in(lexmove):
    done = lexmove("cluster", "hosts", "10.0.0.1", "10.0.0.2", "10.0.0.3", "--user", "jo")
    assert (done.exit_code, done.stderr) == (0, "")
    config = yaml.safe_load(done.stdout)
    assert config["provider"]["worker_ips"] == ["10.0.0.2", "10.0.0.3"]
    assert config["auth"] == {"ssh_user": "jo", "ssh_private_key": "~/.ssh/id_ed25519"}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["hosts", "10.0.0.1"], "Missing argument 'WORKER'"),
        (["hosts", "10.0.0.1", "10.0.0.1"], "is named twice"),
        (["kuberay", "service"], "'service' is not one of 'job', 'cluster'"),
    ],
)
def test_a_mistake_is_told_and_nothing_is_written(words, why, lexmove):
    done = lexmove("cluster", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert why in done.stderr


def test_nothing_heavy_is_loaded():
    code = (
        "import sys\n"
        "from lexmove.cli.verbs import app\n"
        "app(['cluster', 'grafana'], standalone_mode=False)\n"
        f"print(sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
