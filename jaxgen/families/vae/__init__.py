"""The VAE family: an encoder, a decoder, and a prior that may be learned."""
# SPDX-License-Identifier: Apache-2.0
