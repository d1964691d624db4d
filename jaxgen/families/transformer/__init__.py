"""The transformer family: language models that see all earlier tokens at once."""
# SPDX-License-Identifier: Apache-2.0
