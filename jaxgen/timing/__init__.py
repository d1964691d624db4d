"""Contestants timed fairly: what benchmarks/ and `jaxgen autotune` share."""
# SPDX-License-Identifier: Apache-2.0
