"""The one step and the one loop of every family; nothing here knows a family's name."""
# SPDX-License-Identifier: Apache-2.0
