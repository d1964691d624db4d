"""What a person looks at: sample grids, curves, the one-page report, the progress bar, TensorBoard events."""
# SPDX-License-Identifier: Apache-2.0
