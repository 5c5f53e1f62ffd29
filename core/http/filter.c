/*
 * The request filter: civetweb's parser is lenient, so what it lets pass is looked at again, before
 * any handler. One request must be one request for every proxy in front.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/internal.h"

const char *request_header(const struct request *r, const char *name)
{
    for (int i = 0; i < r->info->num_headers; i++)
        if (strcasecmp(r->info->http_headers[i].name, name) == 0)
            return r->info->http_headers[i].value;
    return NULL;
}

static int count_header(const struct mg_request_info *info, const char *name)
{
    int n = 0;

    for (int i = 0; i < info->num_headers; i++)
        n += strcasecmp(info->http_headers[i].name, name) == 0;
    return n;
}

/*
 * civetweb ends names and values in place, so the bytes between and behind them tell how the lines
 * were written. Refused: white space before a colon (two NULs behind the name), a folded line or one
 * ended by a bare LF (what follows the last value is not the empty line, which civetweb has ended too:
 * its parser stopped early, and silently dropped what came after).
 */
static bool lines_sound(const struct mg_request_info *info)
{
    const char *end;

    for (int i = 0; i < info->num_headers; i++) {
        const char *name = info->http_headers[i].name, *value = info->http_headers[i].value;
        const char *after = name + strlen(name) + 1;

        if (after < value && *after == '\0')
            return false;
        end = value + strlen(value);
        if (memcmp(end, "\0", 2) != 0) /* CR and LF, both ended */
            return false;
        if (i + 1 < info->num_headers && info->http_headers[i + 1].name != end + 2)
            return false;
        if (i + 1 == info->num_headers && memcmp(end + 2, "\r", 2) != 0) /* CR, and LF ended */
            return false;
    }
    return true;
}

static bool parse_length(struct request *r)
{
    const char *text = request_header(r, "Content-Length");
    size_t len;

    r->content_length = -1;
    if (text == NULL)
        return true;
    len = strlen(text);
    if (len == 0 || len > 18 || strspn(text, "0123456789") != len)
        return false;
    r->content_length = 0;
    for (size_t i = 0; i < len; i++)
        r->content_length = r->content_length * 10 + (text[i] - '0');
    return true;
}

static int hex(char c)
{
    const char *digits = "0123456789abcdef", *at;

    at = c == '\0' ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
    return at == NULL ? -1 : (int)(at - digits);
}

/* Splits at "/" first and decodes each segment then, so that %2F stays within its segment. */
static bool split_path(struct request *r, const char *uri)
{
    size_t len = strlen(uri);
    char *out;

    if (uri[0] != '/')
        return false;
    r->path = out = len < sizeof(r->short_path) ? r->short_path : malloc(len + 1);
    if (out == NULL)
        return false;
    while (*uri == '/') {
        uri++;
        if (r->n_segments == PATH_SEGMENTS)
            return true; /* longer than any route: nothing will match */
        r->segments[r->n_segments++] = out;
        while (*uri != '\0' && *uri != '/') {
            unsigned char c = (unsigned char)*uri++;

            if (c == '%') {
                int high = hex(uri[0]), low = high < 0 ? -1 : hex(uri[1]);

                if (low < 0)
                    return false;
                c = (unsigned char)(high << 4 | low);
                uri += 2;
            }
            if (c < 0x20 || c == 0x7f)
                return false;
            *out++ = (char)c;
        }
        *out++ = '\0';
    }
    return true;
}

/* From the method to the end of the last field; civetweb's own limit is twice ours, because it calls
 * what is beyond it malformed. */
static size_t header_length(const struct mg_request_info *info)
{
    const struct mg_header *last = &info->http_headers[info->num_headers - 1];

    return (size_t)(last->value + strlen(last->value) - info->request_method);
}

enum error_code filter_request(struct request *r)
{
    const struct mg_request_info *info = r->info;
    int hosts = count_header(info, "Host");
    bool http11 = info->http_version != NULL && strcmp(info->http_version, "1.1") == 0;

    if (info->num_headers == 0)
        r->close = true; /* a folded first line hides headers: let nothing follow */
    if (info->num_headers >= 64 || /* civetweb drops the rest */
        (info->num_headers > 0 &&
         header_length(info) > (size_t)r->server->world.config->limit_header))
        return ERROR_HEADERS_TOO_LARGE;
    if (!lines_sound(info))
        return ERROR_BAD_REQUEST;
    if (request_header(r, "Transfer-Encoding") != NULL)
        return ERROR_LENGTH_REQUIRED;
    if (hosts > 1 || (http11 && hosts != 1) || count_header(info, "Content-Length") > 1 ||
        count_header(info, "Content-Type") > 1 || !parse_length(r))
        return ERROR_BAD_REQUEST;
    if (strlen(info->request_uri) > URI_MAX_LEN)
        return ERROR_URI_TOO_LONG;
    if (info->num_headers > 0)
        r->header_size = header_length(info) + 4; /* two line ends: lines_sound saw them */
    return split_path(r, info->request_uri) ? ERROR_NONE : ERROR_BAD_REQUEST;
}
