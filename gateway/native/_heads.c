/* Plain heads, read and written: gateway/native/__init__.py says what they are. What is not plain is left to llhttp, and
 * to Python.
 *
 * Every byte is looked at before it is used, and no index passes the size of what it is of. Nothing of the caller's is
 * kept: names and values are copies, and the buffer is released before the call ends, whichever way it ends.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
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
is_white_space(unsigned char byte)
{
    return byte == ' ' || byte == '\t';
}

static int
may_be_in_value(unsigned char byte)
{
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

/* Adds a line to the list, and its value to the fields; -1 with an exception set where there is no memory. */
static int
add_line(PyObject *lines, PyObject *fields, const unsigned char *name, Py_ssize_t name_size,
         const unsigned char *value, Py_ssize_t value_size)
{
    PyObject *made_name = PyBytes_FromStringAndSize(NULL, name_size);
    if (made_name == NULL) {
        return -1;
    }
    unsigned char *lowered = (unsigned char *)PyBytes_AS_STRING(made_name);
    for (Py_ssize_t index = 0; index < name_size; index++) {
        lowered[index] = LOWER[name[index]];
    }
    PyObject *made_value = PyBytes_FromStringAndSize((const char *)value, value_size);
    if (made_value == NULL) {
        Py_DECREF(made_name);
        return -1;
    }
    PyObject *line = PyTuple_New(2);
    if (line == NULL) {
        Py_DECREF(made_name);
        Py_DECREF(made_value);
        return -1;
    }
    PyTuple_SET_ITEM(line, 0, made_name);
    PyTuple_SET_ITEM(line, 1, made_value);
    int added = PyDict_SetItem(fields, made_name, made_value);
    if (added == 0) {
        added = PyList_Append(lines, line);
    }
    Py_DECREF(line);
    return added;
}

/* Reads lines into the list and the fields up to the empty one. Answers where that ends; 0 where not all of them are
 * plain; -1 with an exception set. */
static Py_ssize_t
read_lines(PyObject *lines, PyObject *fields, const unsigned char *data, Py_ssize_t size, Py_ssize_t start,
           Py_ssize_t most)
{
    Py_ssize_t at = start;
    for (;;) {
        if (size - at < 2) {
            return 0;
        }
        if (data[at] == '\r') {
            return data[at + 1] == '\n' ? at + 2 : 0;
        }
        if (most <= 0) {
            return 0;
        }
        most--;
        Py_ssize_t name = at;
        while (at < size && LOWER[data[at]] != 0) {
            at++;
        }
        Py_ssize_t name_size = at - name;
        if (name_size == 0 || at == size || data[at] != ':') {
            return 0;
        }
        at++;
        while (at < size && is_white_space(data[at])) {
            at++;
        }
        Py_ssize_t value = at;
        while (at < size && may_be_in_value(data[at])) {
            at++;
        }
        if (size - at < 2 || data[at] != '\r' || data[at + 1] != '\n') {
            return 0;
        }
        Py_ssize_t value_end = at;
        while (value_end > value && is_white_space(data[value_end - 1])) {
            value_end--;
        }
        at += 2;
        if (add_line(lines, fields, data + name, name_size, data + value, value_end - value) < 0) {
            return -1;
        }
    }
}

static PyObject *
header_lines(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "header_lines takes data, start and most");
        return NULL;
    }
    Py_ssize_t start = PyLong_AsSsize_t(arguments[1]);
    if (start == -1 && PyErr_Occurred()) {
        return NULL;
    }
    Py_ssize_t most = PyLong_AsSsize_t(arguments[2]);
    if (most == -1 && PyErr_Occurred()) {
        return NULL;
    }
    Py_buffer view;
    if (PyObject_GetBuffer(arguments[0], &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    PyObject *lines = PyList_New(0), *fields = PyDict_New();
    Py_ssize_t end = -1;
    if (lines != NULL && fields != NULL) {
        end = start < 0 ? 0 : read_lines(lines, fields, view.buf, view.len, start, most);
    }
    PyBuffer_Release(&view);
    PyObject *answer = NULL;
    if (end > 0) {
        PyObject *made_end = PyLong_FromSsize_t(end);
        if (made_end != NULL) {
            answer = PyTuple_Pack(3, lines, fields, made_end);
            Py_DECREF(made_end);
        }
    }
    else if (end == 0) {
        answer = Py_NewRef(Py_None);
    }
    Py_XDECREF(lines);
    Py_XDECREF(fields);
    return answer;
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

static char *
copied(char *to, PyObject *bytes)
{
    Py_ssize_t size = PyBytes_GET_SIZE(bytes);
    memcpy(to, PyBytes_AS_STRING(bytes), (size_t)size);
    return to + size;
}

/* Writes these lines, of which `size_of_lines` has told the size. Answers where they end; NULL where one of them holds a
 * line break: then what stands behind it would be another line. */
static char *
write_lines(char *to, PyObject *lines)
{
    for (Py_ssize_t index = 0; index < PyList_GET_SIZE(lines); index++) {
        PyObject *line = PyList_GET_ITEM(lines, index);
        char *start = to;
        to = copied(to, PyTuple_GET_ITEM(line, 0));
        *to++ = ':';
        *to++ = ' ';
        to = copied(to, PyTuple_GET_ITEM(line, 1));
        size_t size = (size_t)(to - start);
        if (memchr(start, '\r', size) != NULL || memchr(start, '\n', size) != NULL) {
            return NULL;
        }
        *to++ = '\r';
        *to++ = '\n';
    }
    return to;
}

static PyObject *
joined_head(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "joined_head takes start, lines and end");
        return NULL;
    }
    PyObject *start = arguments[0], *lines = arguments[1], *end = arguments[2];
    if (!PyBytes_CheckExact(start) || !PyList_CheckExact(lines) || !PyBytes_CheckExact(end)) {
        Py_RETURN_NONE;
    }
    Py_ssize_t size = size_of_lines(lines);
    if (size < 0 || PyBytes_GET_SIZE(start) > MOST_AT_ONCE || PyBytes_GET_SIZE(end) > MOST_AT_ONCE) {
        Py_RETURN_NONE;
    }
    size += PyBytes_GET_SIZE(start) + PyBytes_GET_SIZE(end);
    PyObject *head = PyBytes_FromStringAndSize(NULL, size);
    if (head == NULL) {
        return NULL;
    }
    /* Nothing of Python has run since the lines were looked at, and bytes objects stay as they are. */
    char *to = write_lines(copied(PyBytes_AS_STRING(head), start), lines);
    if (to == NULL) {
        Py_DECREF(head);
        Py_RETURN_NONE;
    }
    to = copied(to, end);
    assert(to == PyBytes_AS_STRING(head) + size);
    return head;
}

static PyMethodDef functions[] = {
    {"header_lines", (PyCFunction)(void (*)(void))header_lines, METH_FASTCALL,
     "header_lines(data, start, most): see gateway/native/__init__.py."},
    {"joined_head", (PyCFunction)(void (*)(void))joined_head, METH_FASTCALL,
     "joined_head(start, lines, end): see gateway/native/__init__.py."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "gateway.native._heads",
    .m_doc = "Heads, read and written in C.",
    .m_size = 0,
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__heads(void)
{
    return PyModuleDef_Init(&definition);
}
