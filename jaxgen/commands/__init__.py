"""The verbs of the `jaxgen` command, a file each."""
# SPDX-License-Identifier: Apache-2.0
