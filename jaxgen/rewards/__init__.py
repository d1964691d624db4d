"""Reward tuning: what samples are tuned toward, the sources that make the batches, the policy's turn."""
# SPDX-License-Identifier: Apache-2.0
