"""The GAN family: a generator and a discriminator, each with a turn of its own."""
# SPDX-License-Identifier: Apache-2.0
