/* Asks libinjection's C library about the texts of a list of requests (`beside corpus`) and mutations of them, and prints what
 * `crates/waf/tests/libinjection.txt` holds: the text with what is not printable as \xHH, the fingerprint of SQL injection or
 * `-`, and `x` for scripting or `-`. The same list gives the same lines. With libinjection's sources (of ModSecurity's) in SRC:
 *
 *     cc -O2 -I SRC bench/waf/libinjection.c SRC/libinjection_sqli.c SRC/libinjection_html5.c SRC/libinjection_xss.c -o ask
 *     ./ask 6000 REQUESTS > crates/waf/tests/libinjection.txt */
#include "libinjection.h"
#include "libinjection_sqli.h"
#include "libinjection_xss.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 96, TEXTS = 20000 };

static struct {
    char bytes[LONGEST];
    size_t length;
} texts[TEXTS];
static size_t count;

static unsigned long long state = 88172645463325252ULL;

static size_t below(size_t limit) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (size_t)(state % limit);
}

/* Whether a text is new, and more than a name. */
static int is_wanted(size_t length) {
    size_t plain = 0;
    for (size_t at = 0; at < length; at++) plain += isalnum((unsigned char)texts[count].bytes[at]) || strchr("-_./ ", texts[count].bytes[at]);
    for (size_t at = 0; at < count; at++)
        if (texts[at].length == length && memcmp(texts[at].bytes, texts[count].bytes, length) == 0) return 0;
    return length > 3 && plain < length;
}

/* Each value between `&`, without percent-encoding. */
static void keep(const char *field, size_t length) {
    size_t made = 0;
    for (size_t at = 0; at <= length && count < TEXTS; at++) {
        if (at == length || field[at] == '&') {
            if (is_wanted(made)) texts[count++].length = made;
            made = 0;
        } else if ((field[at] == '=' || field[at] == '?') && memchr(texts[count].bytes, ' ', made) == NULL && made < 16) {
            made = 0;
        } else if (made < LONGEST) {
            char byte = field[at] == '+' ? ' ' : field[at], digits[3] = {0};
            if (byte == '%' && at + 2 < length && isxdigit((unsigned char)field[at + 1]) &&
                isxdigit((unsigned char)field[at + 2])) {
                memcpy(digits, field + at + 1, 2);
                byte = (char)strtol(digits, NULL, 16);
                at += 2;
            }
            texts[count].bytes[made++] = byte;
        }
    }
}

static const char *const pieces[] = {"'", "\"", "--", "-- ", "#", "/*", "*/", "/*!", ";", "(", ")", " or ", " and ", "1", "=", "||",
    "union ", "select ", "@@", "@", "$$", "$a$", "`", "\\", "0x1f", "1e", "1.", ".5f", "q'(", "n'", "u&'", "x'af'", "b'01'", "{", "}",
    "[", "]", ",", "::", "<=>", ":=", "!", "~", "\xa0", "\x0b", "<", ">", "<a ", "onload=", "<!--", "href=", "<script", "/", "&", "?",
    " in (", " like ", " not ", "user(", "if(", "collate utf8_bin", "having ", "sp_password", "&#x6a;", "style=", "xmlns:"};

/* Sign and zero of C's strings are of no matter to what is read, but what is read is a copy that ends with zeros. */
static size_t ask(const char *text, size_t length) {
    char copy[LONGEST * 2 + 16] = {0}, print[8] = {0};
    memcpy(copy, text, length);
    int sqli = libinjection_sqli(copy, length, print), xss = libinjection_xss(copy, length);
    if (!sqli && !xss && below(8)) return 0; /* most of what is no attack is left out */
    for (size_t at = 0; at < length; at++) {
        unsigned char byte = (unsigned char)copy[at];
        if (byte < 32 || byte > 126 || byte == '\\')
            printf("\\x%02x", byte);
        else
            putchar(byte);
    }
    printf("\t%s\t%s\n", sqli ? print : "-", xss ? "x" : "-");
    return 1;
}

static size_t mutate(void) {
    char made[LONGEST * 2 + 16];
    size_t one = below(count), length = texts[one].length;
    memcpy(made, texts[one].bytes, length);
    for (size_t times = 1 + below(3); times > 0; times--) {
        const char *piece = pieces[below(sizeof pieces / sizeof *pieces)];
        size_t at = below(length + 1), size = strlen(piece), rest = length - at;
        switch (below(4)) {
        case 0: /* put in */
            if (length + size > LONGEST) break;
            memmove(made + at + size, made + at, rest);
            memcpy(made + at, piece, size);
            length += size;
            break;
        case 1: /* take out */
            size = below(rest + 1) / 2;
            memmove(made + at, made + at + size, rest - size);
            length -= size;
            break;
        case 2: /* the end of another */
            one = below(count);
            size = below(texts[one].length + 1);
            if (at + size > LONGEST) break;
            memcpy(made + at, texts[one].bytes + texts[one].length - size, size);
            length = at + size;
            break;
        default: /* another byte */
            if (rest) made[at] = (char)below(256);
        }
    }
    return ask(made, length);
}

int main(int number, char **arguments) {
    FILE *in = number == 3 ? fopen(arguments[2], "rb") : NULL;
    size_t length;
    if (!in) return 1;
    while (fscanf(in, "%zu:", &length) == 1) {
        char *field = malloc(length + 1);
        if (!field || fread(field, 1, length, in) != length || getc(in) != ',') return 1;
        if (length < 2000) keep(field, length);
        free(field);
    }
    for (size_t wanted = strtoul(arguments[1], NULL, 10), asked = 0, told = 0; told < wanted; asked++) {
        size_t one = below(count);
        told += asked % 4 ? mutate() : ask(texts[one].bytes, texts[one].length);
    }
    return 0;
}
