/* Plain heads, read and written: gateway/native/__init__.py says what they are. What is not plain is left to llhttp, and
 * to Python.
 *
 * Every byte is looked at before it is used, and no index passes the size of what it is of. Nothing of the caller's is
 * kept: names and values are copies, and the buffer is released before the call ends, whichever way it ends. Of what came
 * before, some names stay, which are short.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

/* The bytes of which a field name may consist (RFC 9110, 5.6.2), each in lower case; 0 for all others. */
static const unsigned char LOWER[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*', ['+'] = '+',
    ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`', ['|'] = '|', ['~'] = '~',
    ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5', ['6'] = '6', ['7'] = '7',
    ['8'] = '8', ['9'] = '9',
    ['a'] = 'a', ['b'] = 'b', ['c'] = 'c', ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h',
    ['i'] = 'i', ['j'] = 'j', ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p',
    ['q'] = 'q', ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x',
    ['y'] = 'y', ['z'] = 'z',
    ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e', ['F'] = 'f', ['G'] = 'g', ['H'] = 'h',
    ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l', ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p',
    ['Q'] = 'q', ['R'] = 'r', ['S'] = 's', ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x',
    ['Y'] = 'y', ['Z'] = 'z',
};

static int
is_in_name(unsigned char byte)
{
    return LOWER[byte] != 0;
}

static int
is_white_space(unsigned char byte)
{
    return byte == ' ' || byte == '\t';
}

static int
is_in_value(unsigned char byte)
{
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

static int
is_digit(unsigned char byte)
{
    return byte >= '0' && byte <= '9';
}

static int
is_capital(unsigned char byte)
{
    return byte >= 'A' && byte <= 'Z';
}

/* Anything visible but "#". */
static int
is_in_query(unsigned char byte)
{
    return byte > 0x20 && byte < 0x7f && byte != '#';
}

static int
is_in_path(unsigned char byte)
{
    return is_in_query(byte) && byte != '?';
}

/* Letters, digits, and what mostly stands between them. */
static int
is_in_host(unsigned char byte)
{
    return is_digit(byte) || is_capital(byte) || (byte >= 'a' && byte <= 'z') || byte == '.' || byte == '-' ||
           byte == '_';
}

/* Some bytes of a head. */
typedef struct {
    const unsigned char *start;
    Py_ssize_t size;
} Part;

typedef struct {
    Part name, value;
} Line;

/* What was not read yet. */
typedef struct {
    const unsigned char *at, *end;
} Rest;

/* Heads of more lines, and lengths of more digits, are left to llhttp. */
enum { MOST_LINES = 128, MOST_DIGITS = 18 };

typedef struct {
    Rest rest;
    Py_ssize_t count, most;
    Line lines[MOST_LINES];
    const Part *host, *expect, *length; /* values; NULL where there is no such line */
} Head;

static int
is_text(Part part, const char *text)
{
    return part.size == (Py_ssize_t)strlen(text) && memcmp(part.start, text, (size_t)part.size) == 0;
}

/* Whether a name is this one, which is in lower case. */
static int
is_named(Part name, const char *lower)
{
    if (name.size != (Py_ssize_t)strlen(lower)) {
        return 0;
    }
    for (Py_ssize_t index = 0; index < name.size; index++) {
        if (LOWER[name.start[index]] != (unsigned char)lower[index]) {
            return 0;
        }
    }
    return 1;
}

/* Reads exactly this, or nothing. */
static int
read_text(Rest *rest, const char *text)
{
    size_t size = strlen(text);
    if (rest->end - rest->at < (Py_ssize_t)size || memcmp(rest->at, text, size) != 0) {
        return 0;
    }
    rest->at += size;
    return 1;
}

/* Reads the bytes of which this is true, up to the first of which it is not. */
static inline Part
read_while(Rest *rest, int (*is_part)(unsigned char))
{
    const unsigned char *start = rest->at, *at = start;
    while (at < rest->end && is_part(*at)) {
        at++;
    }
    rest->at = at;
    return (Part){start, at - start};
}

/* Reads what may be in a value: first eight bytes at a time, none of which is below 0x20, or is 0x7f. */
static Part
read_value(Rest *rest)
{
    const uint64_t ones = 0x0101010101010101;
    const unsigned char *start = rest->at;
    uint64_t word;
    while (rest->end - rest->at >= (Py_ssize_t)sizeof(word)) {
        memcpy(&word, rest->at, sizeof(word));
        uint64_t other = word ^ (0x7f * ones);
        if (((((word - 0x20 * ones) & ~word) | ((other - ones) & ~other)) & (0x80 * ones)) != 0) {
            break;
        }
        rest->at += sizeof(word);
    }
    read_while(rest, is_in_value);
    return (Part){start, rest->at - start};
}

/* Remembers the lines that say where the message ends, or what is to be done with its connection; 0 where one of them is
 * not plain. */
static int
remember(Head *head, const Line *line)
{
    switch (line->name.size) {
    case 4:
        if (is_named(line->name, "host")) {
            head->host = &line->value;
        }
        return 1;
    case 6:
        if (is_named(line->name, "expect")) {
            head->expect = &line->value;
        }
        return 1;
    case 7:
        return !is_named(line->name, "upgrade");
    case 10:
        return !is_named(line->name, "connection") || is_text(line->value, "keep-alive") ||
               is_text(line->value, "Keep-Alive");
    case 14:
        if (is_named(line->name, "content-length")) {
            head->length = &line->value;
        }
        return 1;
    case 16:
        return !is_named(line->name, "proxy-connection");
    case 17:
        return !is_named(line->name, "transfer-encoding");
    default:
        return 1;
    }
}

/* Reads the header lines, and the empty one behind them; 0 where they are not plain. */
static int
read_lines(Head *head)
{
    Rest *rest = &head->rest;
    while (!read_text(rest, "\r\n")) {
        if (head->count >= head->most) {
            return 0;
        }
        Line *line = &head->lines[head->count++];
        line->name = read_while(rest, is_in_name);
        if (line->name.size == 0 || !read_text(rest, ":")) {
            return 0;
        }
        read_while(rest, is_white_space);
        line->value = read_value(rest);
        while (line->value.size > 0 && is_white_space(line->value.start[line->value.size - 1])) {
            line->value.size--;
        }
        if (!read_text(rest, "\r\n") || !remember(head, line)) {
            return 0;
        }
    }
    return 1;
}

/* The number that these digits are; -1 where they are none. */
static long long
number_in(Part text)
{
    Rest rest = {text.start, text.start + text.size};
    Part digits = read_while(&rest, is_digit);
    if (digits.size == 0 || digits.size > MOST_DIGITS || rest.at != rest.end) {
        return -1;
    }
    long long number = 0;
    for (Py_ssize_t index = 0; index < digits.size; index++) {
        number = 10 * number + (digits.start[index] - '0');
    }
    return number;
}

/* Whether a host is a name or an IPv4 address, with a port or without one. */
static int
is_plain_host(Part host)
{
    enum { LONGEST_HOST = 255, LONGEST_PORT = 5 };
    Rest rest = {host.start, host.start + host.size};
    Part name = read_while(&rest, is_in_host);
    if (read_text(&rest, ":") && read_while(&rest, is_digit).size > LONGEST_PORT) {
        return 0;
    }
    return name.size > 0 && name.size <= LONGEST_HOST && rest.at == rest.end;
}

/* Takes the arguments of both codecs: data, most_bytes, most_lines. The buffer is the caller's to release; -1 with an
 * exception set. */
static int
begin_head(Head *head, Py_buffer *buffer, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "a codec takes data, most_bytes and most_lines");
        return -1;
    }
    Py_ssize_t most_bytes = PyLong_AsSsize_t(arguments[1]);
    if (most_bytes == -1 && PyErr_Occurred()) {
        return -1;
    }
    Py_ssize_t most_lines = PyLong_AsSsize_t(arguments[2]);
    if (most_lines == -1 && PyErr_Occurred()) {
        return -1;
    }
    if (PyObject_GetBuffer(arguments[0], buffer, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    Py_ssize_t size = buffer->len < most_bytes ? buffer->len : most_bytes;
    head->rest.at = buffer->buf;
    head->rest.end = head->rest.at + (size > 0 ? size : 0);
    head->count = 0;
    head->most = most_lines < MOST_LINES ? most_lines : MOST_LINES;
    head->host = head->expect = head->length = NULL;
    return 0;
}

static PyObject *
made_bytes(Part part)
{
    return PyBytes_FromStringAndSize((const char *)part.start, part.size);
}

/* The methods of requests that are read here. */
static const char *const METHODS[] = {"GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS"};

/* How many field names are remembered, and up to which size. */
enum { METHOD_COUNT = sizeof(METHODS) / sizeof(METHODS[0]), NAME_COUNT = 256, LONGEST_NAME = 32 };

typedef struct {
    PyObject *methods[METHOD_COUNT];
    PyObject *names[NAME_COUNT]; /* the last one that came of those with this remainder; NULL where none has */
} State;

static PyObject *
made_long_name(Part name)
{
    PyObject *made = PyBytes_FromStringAndSize(NULL, name.size);
    if (made != NULL) {
        unsigned char *to = (unsigned char *)PyBytes_AS_STRING(made);
        for (Py_ssize_t index = 0; index < name.size; index++) {
            to[index] = LOWER[name.start[index]];
        }
    }
    return made;
}

/* A field name in lower case. Most have come before, and are there already, with the hash that dicts need. */
static PyObject *
made_name(State *state, Part name)
{
    unsigned char lower[LONGEST_NAME];
    if (name.size > LONGEST_NAME) {
        return made_long_name(name);
    }
    unsigned int sum = 0;
    for (Py_ssize_t index = 0; index < name.size; index++) {
        lower[index] = LOWER[name.start[index]];
        sum = 31 * sum + lower[index];
    }
    PyObject **place = &state->names[sum % NAME_COUNT];
    if (*place == NULL || PyBytes_GET_SIZE(*place) != name.size ||
        memcmp(PyBytes_AS_STRING(*place), lower, (size_t)name.size) != 0) {
        Py_XSETREF(*place, made_bytes((Part){lower, name.size}));
    }
    return Py_XNewRef(*place);
}

/* The tuple, where all that belongs into it could be made. */
static PyObject *
whole(PyObject *tuple)
{
    for (Py_ssize_t index = 0; index < PyTuple_GET_SIZE(tuple); index++) {
        if (PyTuple_GET_ITEM(tuple, index) == NULL) {
            Py_DECREF(tuple);
            return NULL;
        }
    }
    return tuple;
}

static PyObject *
made_line(State *state, const Line *line)
{
    PyObject *made = PyTuple_New(2);
    if (made == NULL) {
        return NULL;
    }
    PyTuple_SET_ITEM(made, 0, made_name(state, line->name));
    PyTuple_SET_ITEM(made, 1, made_bytes(line->value));
    return whole(made);
}

/* Makes the list of the header lines, and the dict of their names and values. Answers 1; 0 where a name is there twice,
 * -1 with an exception set: then both are NULL. */
static int
make_lines(State *state, const Head *head, PyObject **lines, PyObject **fields)
{
    *lines = PyList_New(head->count);
    *fields = PyDict_New();
    int made = *lines == NULL || *fields == NULL ? -1 : 1;
    for (Py_ssize_t index = 0; made == 1 && index < head->count; index++) {
        PyObject *line = made_line(state, &head->lines[index]);
        if (line == NULL || PyDict_SetItem(*fields, PyTuple_GET_ITEM(line, 0), PyTuple_GET_ITEM(line, 1)) < 0) {
            made = -1;
        }
        PyList_SET_ITEM(*lines, index, line);
    }
    if (made == 1 && PyDict_GET_SIZE(*fields) != head->count) {
        made = 0;
    }
    if (made != 1) {
        Py_CLEAR(*lines);
        Py_CLEAR(*fields);
    }
    return made;
}

/* A borrowed reference to the text of a method; NULL, without an exception, where it is another one. */
static PyObject *
known_method(State *state, Part method)
{
    for (int index = 0; index < METHOD_COUNT; index++) {
        if (is_text(method, METHODS[index])) {
            return state->methods[index];
        }
    }
    return NULL;
}

static PyObject *
request_of(State *state, Head *head, const unsigned char *start)
{
    Rest *rest = &head->rest;
    PyObject *method = known_method(state, read_while(rest, is_capital));
    if (method == NULL || !read_text(rest, " ")) {
        Py_RETURN_NONE;
    }
    Part path = read_while(rest, is_in_path);
    int has_query = read_text(rest, "?");
    Part query = has_query ? read_while(rest, is_in_query) : (Part){rest->at, 0};
    if (path.size == 0 || path.start[0] != '/' || !read_text(rest, " HTTP/1.1\r\n") || !read_lines(head)) {
        Py_RETURN_NONE;
    }
    int expects = head->expect != NULL;
    long long length = head->length == NULL ? 0 : number_in(*head->length);
    if (head->host == NULL || !is_plain_host(*head->host) || (expects && !is_text(*head->expect, "100-continue")) ||
        length < 0) {
        Py_RETURN_NONE;
    }
    PyObject *lines, *fields;
    int made = make_lines(state, head, &lines, &fields);
    if (made != 1) {
        return made < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *request = PyTuple_New(9);
    if (request == NULL) {
        Py_DECREF(lines);
        Py_DECREF(fields);
        return NULL;
    }
    PyTuple_SET_ITEM(request, 0, Py_NewRef(method));
    PyTuple_SET_ITEM(request, 1, PyUnicode_DecodeLatin1((const char *)path.start, path.size, NULL));
    PyTuple_SET_ITEM(request, 2, made_bytes(query));
    PyTuple_SET_ITEM(request, 3, PyBool_FromLong(has_query && query.size == 0));
    PyTuple_SET_ITEM(request, 4, lines);
    PyTuple_SET_ITEM(request, 5, fields);
    PyTuple_SET_ITEM(request, 6, PyLong_FromLongLong(length));
    PyTuple_SET_ITEM(request, 7, PyBool_FromLong(expects));
    PyTuple_SET_ITEM(request, 8, PyLong_FromSsize_t(rest->at - start));
    return whole(request);
}

static PyObject *
plain_request(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    Head head;
    Py_buffer buffer;
    if (begin_head(&head, &buffer, arguments, count) < 0) {
        return NULL;
    }
    PyObject *request = request_of(PyModule_GetState(module), &head, buffer.buf);
    PyBuffer_Release(&buffer);
    return request;
}

/* `end` is where the data ends. */
static PyObject *
response_of(State *state, Head *head, const unsigned char *end)
{
    Rest *rest = &head->rest;
    if (!read_text(rest, "HTTP/1.1 ")) {
        Py_RETURN_NONE;
    }
    Part digits = read_while(rest, is_digit);
    if (digits.size != 3 || digits.start[0] < '2' || !read_text(rest, " ")) {
        Py_RETURN_NONE;
    }
    int status = 100 * (digits.start[0] - '0') + 10 * (digits.start[1] - '0') + (digits.start[2] - '0');
    read_value(rest);
    if (status == 204 || status == 304 || !read_text(rest, "\r\n") || !read_lines(head) || head->length == NULL) {
        Py_RETURN_NONE;
    }
    Part body = {rest->at, end - rest->at};
    if (number_in(*head->length) != body.size) {
        Py_RETURN_NONE;
    }
    PyObject *lines, *fields;
    int made = make_lines(state, head, &lines, &fields);
    if (made != 1) {
        return made < 0 ? NULL : Py_NewRef(Py_None);
    }
    PyObject *response = PyTuple_New(4);
    if (response == NULL) {
        Py_DECREF(lines);
        Py_DECREF(fields);
        return NULL;
    }
    PyTuple_SET_ITEM(response, 0, PyLong_FromLong(status));
    PyTuple_SET_ITEM(response, 1, lines);
    PyTuple_SET_ITEM(response, 2, fields);
    PyTuple_SET_ITEM(response, 3, made_bytes(body));
    return whole(response);
}

static PyObject *
plain_response(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    Head head;
    Py_buffer buffer;
    if (begin_head(&head, &buffer, arguments, count) < 0) {
        return NULL;
    }
    PyObject *response = response_of(PyModule_GetState(module), &head, (const unsigned char *)buffer.buf + buffer.len);
    PyBuffer_Release(&buffer);
    return response;
}

/* What stands between a name and its value, and behind that. */
enum { COLON_AND_SPACE = 2, LINE_END = 2 };

/* Bytes above which a part of a head is left to Python: five of these, which is what is added up, are still a number of
 * 32 bits. */
enum { MOST_AT_ONCE = 1 << 28 };

/* How many bytes these lines are; -1 where one of them is not a tuple of two bytes objects. */
static Py_ssize_t
size_of_lines(PyObject *lines)
{
    Py_ssize_t size = 0;
    for (Py_ssize_t index = 0; index < PyList_GET_SIZE(lines); index++) {
        PyObject *line = PyList_GET_ITEM(lines, index);
        if (!PyTuple_CheckExact(line) || PyTuple_GET_SIZE(line) != 2) {
            return -1;
        }
        PyObject *name = PyTuple_GET_ITEM(line, 0), *value = PyTuple_GET_ITEM(line, 1);
        if (!PyBytes_CheckExact(name) || !PyBytes_CheckExact(value)) {
            return -1;
        }
        Py_ssize_t name_size = PyBytes_GET_SIZE(name), value_size = PyBytes_GET_SIZE(value);
        if (name_size > MOST_AT_ONCE || value_size > MOST_AT_ONCE || size > MOST_AT_ONCE) {
            return -1;
        }
        size += name_size + COLON_AND_SPACE + value_size + LINE_END;
    }
    return size;
}

static Part
part_of(PyObject *bytes)
{
    return (Part){(const unsigned char *)PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes)};
}

/* What an object consists of; of no bytes, and NULL, where it is neither bytes nor a text in ASCII. */
static Part
bytes_in(PyObject *object)
{
    if (PyBytes_CheckExact(object)) {
        return part_of(object);
    }
    if (PyUnicode_CheckExact(object) && PyUnicode_IS_COMPACT_ASCII(object)) {
        return (Part){PyUnicode_DATA(object), PyUnicode_GET_LENGTH(object)};
    }
    return (Part){NULL, 0};
}

static char *
copied(char *to, Part part)
{
    if (part.size > 0) {
        memcpy(to, part.start, (size_t)part.size);
    }
    return to + part.size;
}

/* Writes these lines, of which `size_of_lines` has told the size. Answers where they end; NULL where one of them holds a
 * line break: then what stands behind it would be another line. */
static char *
write_lines(char *to, PyObject *lines)
{
    for (Py_ssize_t index = 0; index < PyList_GET_SIZE(lines); index++) {
        PyObject *line = PyList_GET_ITEM(lines, index);
        char *start = to;
        to = copied(to, part_of(PyTuple_GET_ITEM(line, 0)));
        *to++ = ':';
        *to++ = ' ';
        to = copied(to, part_of(PyTuple_GET_ITEM(line, 1)));
        size_t size = (size_t)(to - start);
        if (memchr(start, '\r', size) != NULL || memchr(start, '\n', size) != NULL) {
            return NULL;
        }
        *to++ = '\r';
        *to++ = '\n';
    }
    return to;
}

/* How many bytes all these parts are; -1 where one of them is too large, or something else. */
static Py_ssize_t
size_of_parts(PyObject *const *parts, Py_ssize_t count)
{
    Py_ssize_t size = 0;
    for (Py_ssize_t index = 0; index < count; index++) {
        Part part = bytes_in(parts[index]);
        if (part.start == NULL || part.size > MOST_AT_ONCE || size > MOST_AT_ONCE) {
            return -1;
        }
        size += part.size;
    }
    return size;
}

/* The head that begins with these parts, and has these lines, of which `size_of_lines` has told the size, and further ones
 * as they are written. None where the parts or the lines are not to be written here. */
static PyObject *
made_head(PyObject *const *parts, Py_ssize_t count, PyObject *lines, Py_ssize_t lines_size, Part more)
{
    Py_ssize_t parts_size = size_of_parts(parts, count);
    if (parts_size < 0 || lines_size < 0 || more.size > MOST_AT_ONCE) {
        Py_RETURN_NONE;
    }
    Py_ssize_t size = parts_size + lines_size + more.size + LINE_END;
    PyObject *head = PyBytes_FromStringAndSize(NULL, size);
    if (head == NULL) {
        return NULL;
    }
    /* Nothing of Python has run since these were looked at, and what is in them stays as it is. */
    char *to = PyBytes_AS_STRING(head);
    for (Py_ssize_t index = 0; index < count; index++) {
        to = copied(to, bytes_in(parts[index]));
    }
    to = write_lines(to, lines);
    if (to == NULL) {
        Py_DECREF(head);
        Py_RETURN_NONE;
    }
    to = copied(to, more);
    *to++ = '\r';
    *to++ = '\n';
    assert(to == PyBytes_AS_STRING(head) + size);
    return head;
}

static PyObject *
joined_head(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "joined_head takes start, lines and more");
        return NULL;
    }
    PyObject *start = arguments[0], *lines = arguments[1], *more = arguments[2];
    if (!PyTuple_CheckExact(start) || !PyList_CheckExact(lines) || !PyBytes_CheckExact(more)) {
        Py_RETURN_NONE;
    }
    PyObject *const *parts = ((PyTupleObject *)start)->ob_item;
    return made_head(parts, PyTuple_GET_SIZE(start), lines, size_of_lines(lines), part_of(more));
}

/* Looks for what a response says of its framing and its date, in lines that `size_of_lines` has looked at. Answers what
 * its Content-Length says; -1 where that is not all there is, or not as it is mostly written. */
static long long
length_said(PyObject *lines, int *has_date)
{
    long long length = -1;
    for (Py_ssize_t index = 0; index < PyList_GET_SIZE(lines); index++) {
        PyObject *line = PyList_GET_ITEM(lines, index);
        Part name = part_of(PyTuple_GET_ITEM(line, 0)), value = part_of(PyTuple_GET_ITEM(line, 1));
        if (is_text(name, "connection") || is_text(name, "transfer-encoding")) {
            return -1;
        }
        if (is_text(name, "date")) {
            *has_date = 1;
        }
        if (is_text(name, "content-length")) {
            long long number = number_in(value);
            if (length != -1 || number == -1 || (value.start[0] == '0' && value.size > 1)) {
                return -1;
            }
            length = number;
        }
    }
    return length;
}

static PyObject *
response_head(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "response_head takes start, lines and date");
        return NULL;
    }
    PyObject *start = arguments[0], *lines = arguments[1], *date = arguments[2];
    if (!PyBytes_CheckExact(start) || !PyList_CheckExact(lines) || !PyBytes_CheckExact(date)) {
        Py_RETURN_NONE;
    }
    Py_ssize_t lines_size = size_of_lines(lines);
    int has_date = 0;
    long long length = lines_size < 0 ? -1 : length_said(lines, &has_date);
    if (length < 0) {
        Py_RETURN_NONE;
    }
    PyObject *head = made_head(&start, 1, lines, lines_size, has_date ? (Part){NULL, 0} : part_of(date));
    if (head == NULL || head == Py_None) {
        return head;
    }
    PyObject *answer = PyTuple_New(2);
    if (answer == NULL) {
        Py_DECREF(head);
        return NULL;
    }
    PyTuple_SET_ITEM(answer, 0, head);
    PyTuple_SET_ITEM(answer, 1, PyLong_FromLongLong(length));
    return whole(answer);
}

static int
set_up(PyObject *module)
{
    State *state = PyModule_GetState(module);
    for (int index = 0; index < METHOD_COUNT; index++) {
        state->methods[index] = PyUnicode_InternFromString(METHODS[index]);
        if (state->methods[index] == NULL) {
            return -1;
        }
    }
    return 0;
}

static int
traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    for (int index = 0; index < METHOD_COUNT; index++) {
        Py_VISIT(state->methods[index]);
    }
    for (int index = 0; index < NAME_COUNT; index++) {
        Py_VISIT(state->names[index]);
    }
    return 0;
}

static int
clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    for (int index = 0; index < METHOD_COUNT; index++) {
        Py_CLEAR(state->methods[index]);
    }
    for (int index = 0; index < NAME_COUNT; index++) {
        Py_CLEAR(state->names[index]);
    }
    return 0;
}

static void
release(void *module)
{
    clear(module);
}

static PyMethodDef functions[] = {
    {"plain_request", (PyCFunction)(void (*)(void))plain_request, METH_FASTCALL,
     "plain_request(data, most_bytes, most_lines): see gateway/native/__init__.py."},
    {"plain_response", (PyCFunction)(void (*)(void))plain_response, METH_FASTCALL,
     "plain_response(data, most_bytes, most_lines): see gateway/native/__init__.py."},
    {"joined_head", (PyCFunction)(void (*)(void))joined_head, METH_FASTCALL,
     "joined_head(start, lines, more): see gateway/native/__init__.py."},
    {"response_head", (PyCFunction)(void (*)(void))response_head, METH_FASTCALL,
     "response_head(start, lines, date): see gateway/native/__init__.py."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{Py_mod_exec, set_up}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "gateway.native._heads",
    .m_doc = "Heads, read and written in C.",
    .m_size = sizeof(State),
    .m_methods = functions,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = release,
};

PyMODINIT_FUNC
PyInit__heads(void)
{
    return PyModuleDef_Init(&definition);
}
