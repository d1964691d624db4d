"""How examples meet a person: how a request is read, samples are shown and measured, once for each modality."""
# SPDX-License-Identifier: Apache-2.0
