"""The recurrent family: language models that read and write one token at a time."""
# SPDX-License-Identifier: Apache-2.0
