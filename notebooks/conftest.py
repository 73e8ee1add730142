"""Notebooks under test run in their quick mode, and what they write goes away with them."""

import os
import tempfile
from unittest import mock

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol():
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"UNET_QUICK": "1", "TMPDIR": folder}):
        return (yield)
