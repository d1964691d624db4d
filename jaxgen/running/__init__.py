"""A run as a whole: put together from its experiment, trained in its folder, read back, sampled and measured."""
# SPDX-License-Identifier: Apache-2.0
