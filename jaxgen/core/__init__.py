"""The few words every room shares: means, masks, tasks and their turns, the train state."""
# SPDX-License-Identifier: Apache-2.0
