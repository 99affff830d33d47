"""What docs/applications.md shows works as it stands there, and docs/api.md is what the code says."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

import queued
from fixtures.daemon import DaemonFactory
from queued import testing
from queued.client.callbacks import POINTS, everywhere

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/applications.md").read_text()

SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["django.contrib.contenttypes", "shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.sqlite3"}}
"""
MODELS = """
from django.db import models

class Order(models.Model):
    sent = models.BooleanField(default=False)
"""
JOBS = """
import queued

@queued.job
def send(number):
    from shop.models import Order
    Order.objects.filter(pk=number).update(sent=True)
    print("sent order", number)
"""
#: What a web process does: a table, an order, and a job in a transaction each.
ENQUEUE = """
import django
django.setup()
from django.db import connection, transaction
from shop.jobs import send
from shop.models import Order
import queued
with connection.schema_editor() as editor:
    editor.create_model(Order)
with transaction.atomic():
    order = Order.objects.create()
    queued.enqueue_after_commit(connection, send.bind(order.pk))
"""


def block(language: str, heading: str) -> str:
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found = re.search(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


def test_a_django_application_runs_its_jobs_as_the_page_says(tmp_path: Path, daemon: DaemonFactory) -> None:
    root = tmp_path / "site"
    (root / "shop").mkdir(parents=True)
    files = {"__init__": "", "settings": SETTINGS, "models": MODELS, "jobs": JOBS, "queue": block("python", "Django")}
    for name, text in files.items():
        (root / f"shop/{name}.py").write_text(text)
    shown = yaml.safe_load(block("yaml", "Django"))
    assert shown.keys() == {"database", "app"}
    url = f"sqlite:///{root}/queued.sqlite3"
    started = daemon(url, app=root, imports=[shown["app"].pop("import")], start=False)
    started.settings["app"]["environment"] |= shown["app"].pop("environment")
    assert not shown["app"]
    started.config.write_text(yaml.safe_dump({started.environment["QUEUED_ENV"]: started.settings}))
    started.start()
    environment = {**started.environment, **started.settings["app"]["environment"], "QUEUED_DATABASE_URL": url}
    subprocess.run([sys.executable, "-c", ENQUEUE], cwd=root, env=environment, check=True, timeout=60)
    started.wait_for_log("sent order 1")


@pytest.fixture
def no_callbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a page registers for all jobs is gone afterwards."""
    monkeypatch.setattr(everywhere, "_at", {point: [] for point in POINTS})
    monkeypatch.setattr(everywhere, "any_callbacks", False)


def test_a_flask_application_has_its_context_in_its_jobs(monkeypatch: pytest.MonkeyPatch, no_callbacks: None) -> None:
    inside: list[bool] = []

    class Application:
        entered = False

        @contextmanager
        def app_context(self) -> Iterator[None]:
            self.entered = True
            yield
            self.entered = False

    application = Application()
    shop = types.ModuleType("shop")
    jobs = types.ModuleType("shop.jobs")
    vars(shop).update(create_app=lambda: application, jobs=jobs)
    monkeypatch.setitem(sys.modules, "shop", shop)
    monkeypatch.setitem(sys.modules, "shop.jobs", jobs)
    exec(block("python", "Flask"), {"__name__": "shop.queue"})
    job = queued.job(name="shop.jobs.look")(lambda: inside.append(application.entered))
    with testing.collect() as collected:
        job.enqueue()
        collected.drain()
    assert inside == [True]
    assert not application.entered


def test_the_page_of_the_api_is_what_the_docstrings_say_and_leaves_no_name_out() -> None:
    written = runpy.run_path(str(ROOT / "scripts/write_api_page.py"))
    told = "PYTHONPATH=daemon python3 scripts/write_api_page.py writes it anew"
    assert (ROOT / "docs/api.md").read_text() == written["page"](), told
    named = {name for names in written["SECTIONS"].values() for name in names.split()}
    assert named == set(queued.__all__) - {"__version__"}
