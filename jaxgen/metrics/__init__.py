"""Honest measures: of pictures against held-out ones, and of likelihoods."""
# SPDX-License-Identifier: Apache-2.0
