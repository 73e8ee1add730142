"""Notebooks under test run in their quick mode; what they write goes with the test's temporary folder."""

import os
from unittest import mock

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    folder = item.config._tmp_path_factory.mktemp("notebook")
    with mock.patch.dict(os.environ, {"UNET_QUICK": "1", "TMPDIR": str(folder)}):
        return (yield)
