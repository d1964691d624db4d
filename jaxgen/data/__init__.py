"""Data: builtin sets, and the sources that make batches of them."""
# SPDX-License-Identifier: Apache-2.0
