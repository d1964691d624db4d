"""Linen blocks that two wings or more are built of."""
# SPDX-License-Identifier: Apache-2.0
