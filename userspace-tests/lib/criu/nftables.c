// SPDX-License-Identifier: GPL-2.0
/*
 * Stands in for libnftables in the guest. When it starts, CRIU asks nf_tables for a
 * table, and gives up without one; a pre-dump of memory has no use for it, and the
 * guest's kernel has no nf_tables. So every command succeeds here.
 */

static int context;

void *nft_ctx_new(unsigned int flags)
{
	(void)flags;
	return &context;
}

void nft_ctx_free(void *ctx)
{
	(void)ctx;
}

int nft_ctx_buffer_output(void *ctx)
{
	(void)ctx;
	return 0;
}

int nft_ctx_buffer_error(void *ctx)
{
	(void)ctx;
	return 0;
}

void *nft_ctx_set_output(void *ctx, void *file)
{
	(void)ctx;
	return file;
}

int nft_run_cmd_from_buffer(void *ctx, const char *commands)
{
	(void)ctx;
	(void)commands;
	return 0;
}
