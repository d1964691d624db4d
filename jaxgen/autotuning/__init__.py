"""The fastest settings of an experiment on the machine at hand, found by measuring its own training steps."""
# SPDX-License-Identifier: Apache-2.0
