"""Linen modules that two families or more use: attention, conditions, precision, rematerialisation."""
# SPDX-License-Identifier: Apache-2.0
