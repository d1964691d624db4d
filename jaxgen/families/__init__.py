"""The families of models, a package each; beside them the tasks that two of them share."""
# SPDX-License-Identifier: Apache-2.0
