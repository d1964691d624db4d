"""Experiments as data: read from a file, changed by name, written to experiment.json and read back."""
# SPDX-License-Identifier: Apache-2.0
