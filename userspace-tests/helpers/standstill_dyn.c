// SPDX-License-Identifier: GPL-2.0
/* The same, dynamically linked: with libraries and a loader mapped. */
#include "standstill.c"
