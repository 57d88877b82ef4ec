// SPDX-License-Identifier: GPL-2.0
/*
 * Since 0.192 libelf keeps raw chunks in a search tree whose functions are in
 * elfutils' internal libeu.a, and some distributions' libelf.a comes without it.
 * Only the root comes first in the tree; the lock behind it is for builds with
 * threads, which libelf's are not. Weak: a libelf that has them uses its own.
 */
#define _GNU_SOURCE
#include <search.h>
#include <stddef.h>

typedef int compare_fn(const void *, const void *);

struct search_tree {
	void *root;
};

void eu_search_tree_init(struct search_tree *tree);
void eu_search_tree_fini(struct search_tree *tree, void (*free_node)(void *));
void *eu_tsearch(const void *key, struct search_tree *tree, compare_fn *compare);
void *eu_tfind(const void *key, struct search_tree *tree, compare_fn *compare);
void *eu_tdelete(const void *key, struct search_tree *tree, compare_fn *compare);

__attribute__((weak))
void eu_search_tree_init(struct search_tree *tree)
{
	tree->root = NULL;
}

__attribute__((weak))
void eu_search_tree_fini(struct search_tree *tree, void (*free_node)(void *))
{
	tdestroy(tree->root, free_node);
}

__attribute__((weak))
void *eu_tsearch(const void *key, struct search_tree *tree, compare_fn *compare)
{
	return tsearch(key, &tree->root, compare);
}

__attribute__((weak))
void *eu_tfind(const void *key, struct search_tree *tree, compare_fn *compare)
{
	return tfind(key, &tree->root, compare);
}

__attribute__((weak))
void *eu_tdelete(const void *key, struct search_tree *tree, compare_fn *compare)
{
	return tdelete(key, &tree->root, compare);
}
