// SPDX-License-Identifier: GPL-2.0
/* What is said, and how: messages, sizes, names that are not to be trusted. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cmd.h"

const char *tool_name = "cpimg";

/* Bytes of the character at @s, or 0 if it is none, or one that controls. */
static size_t char_length(const unsigned char *s)
{
	static const struct {
		unsigned char	mask, lead;
		unsigned int	least;
	} forms[] = {
		{ 0xe0, 0xc0, 0xa0 },	/* U+0080 to 9f control terminals */
		{ 0xf0, 0xe0, 0x800 },
		{ 0xf8, 0xf0, 0x10000 },
	};

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	for (size_t i = 0; i < 3; i++) {
		unsigned int c = s[0] & ~forms[i].mask;
		size_t n;

		if ((s[0] & forms[i].mask) != forms[i].lead)
			continue;
		for (n = 1; n <= i + 1; n++) {
			if ((s[n] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (s[n] & 0x3f);
		}
		/* surrogates, what XML forbids, and what turns the line around */
		if (c < forms[i].least || c > 0x10ffff ||
		    (c >= 0xd800 && c <= 0xdfff) || (c & 0xfffe) == 0xfffe ||
		    (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069))
			return 0;
		return n;
	}
	return 0;
}

static void put_bad(FILE *to, unsigned char c, enum escape how)
{
	if (how == FOR_TEXT)
		fprintf(to, "\\x%02x", c);
	else if (how == FOR_JSON)
		fprintf(to, c < 0x80 ? "\\u%04x" : "\\ufffd", c);
	else
		fputs("\xef\xbf\xbd", to);
}

static const char *replacement(char c, enum escape how)
{
	if (how == FOR_JSON)
		return c == '"' ? "\\\"" : c == '\\' ? "\\\\" : NULL;
	if (how == FOR_XML)
		return c == '&' ? "&amp;" : c == '<' ? "&lt;" : c == '>' ? "&gt;" :
		       c == '"' ? "&quot;" : NULL;
	return NULL;
}

/**
 * put_escaped() - print a text from a file
 * @to: where
 * @text: whatever it may hold
 * @how: what must not take it for something else
 */
void put_escaped(FILE *to, const char *text, enum escape how)
{
	while (*text) {
		size_t n = char_length((const unsigned char *)text);
		const char *other = replacement(*text, how);

		if (!n)
			put_bad(to, *text, how);
		else if (other)
			fputs(other, to);
		else
			fwrite(text, 1, n, to);
		text += n ? n : 1;
	}
}

/**
 * problem() - say what is wrong
 * @fmt: of one line, without the newline
 *
 * Return: CMD_PROBLEM
 */
int problem(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fflush(stdout);
	fprintf(stderr, "%s: ", tool_name);
	put_escaped(stderr, text, FOR_TEXT);
	fputc('\n', stderr);
	return CMD_PROBLEM;
}

int problem_of(const struct cpimg_error *err)
{
	return problem("%s", err->text);
}

/* A full disk is seen here at the latest. 0 or -1. */
int close_output(FILE *to, const char *path)
{
	int bad = ferror(to) | fflush(to);

	if (to != stdout)
		bad |= fclose(to);
	if (bad)
		problem("%s: writing: %s", path, strerror(errno ? errno : EIO));
	return bad ? -1 : 0;
}

const char *human_size(uint64_t bytes, char buf[16])
{
	static const char units[] = "KMGTPE";
	double size = bytes / 1024.0;
	int i = 0;

	if (bytes < 1024) {
		snprintf(buf, 16, "%u B", (unsigned int)bytes);
		return buf;
	}
	for (; size >= 1023.5 && units[i + 1]; i++)
		size /= 1024;
	snprintf(buf, 16, size < 9.95 && size != (int)size ? "%.1f %ciB" : "%.0f %ciB",
		 size, units[i]);
	return buf;
}

const char *prot_text(unsigned int prot, char buf[4])
{
	buf[0] = prot & PROT_READ ? 'r' : '-';
	buf[1] = prot & PROT_WRITE ? 'w' : '-';
	buf[2] = prot & PROT_EXEC ? 'x' : '-';
	buf[3] = 0;
	return buf;
}

const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/**
 * parse_number() - an address or a size
 * @text: decimal, 0x hexadecimal or octal, with k, M, G or T behind it
 * @value: the number
 *
 * Return: whether it is one that fits.
 */
bool parse_number(const char *text, uint64_t *value)
{
	static const char units[] = "kMGT";
	const char *unit;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 0);
	if (errno)
		return false;
	if (!*end)
		return true;
	unit = strchr(units, *end == 'K' ? 'k' : *end);
	if (!unit || end[1])
		return false;
	return !__builtin_mul_overflow(*value, 1ULL << 10 * (unit - units + 1),
				       value);
}

static error_t parse_dir(int key, char *arg, struct argp_state *state)
{
	if (key != 'd')
		return ARGP_ERR_UNKNOWN;
	*(const char **)state->input = arg;
	return 0;
}

static const struct argp_option dir_options[] = {
	{ "dir", 'd', "FOLDER", 0, "look for parents there, not beside the image", 0 },
	{ 0 }
};

static const struct argp dir_argp = { dir_options, parse_dir, 0, 0, 0, 0, 0 };
const struct argp_child dir_children[] = { { &dir_argp, 0, 0, 0 }, { 0 } };
