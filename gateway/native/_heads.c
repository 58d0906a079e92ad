/* The header lines of plain heads: gateway/native/__init__.py says what they are. What is not plain is left to llhttp.
 *
 * Every byte is looked at before it is used, and no index passes `size`. Nothing of the caller's is kept: names and
 * values are copies, and the buffer is released before the call ends, whichever way it ends.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

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

/* Adds a line to the list; -1 with an exception set where there is no memory. */
static int
add_line(PyObject *lines, const unsigned char *name, Py_ssize_t name_size, const unsigned char *value,
         Py_ssize_t value_size)
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
    int added = PyList_Append(lines, line);
    Py_DECREF(line);
    return added;
}

/* Reads lines into the list up to the empty one. Answers where that ends; 0 where not all of them are plain; -1 with an
 * exception set. */
static Py_ssize_t
read_lines(PyObject *lines, const unsigned char *data, Py_ssize_t size, Py_ssize_t start, Py_ssize_t most)
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
        if (add_line(lines, data + name, name_size, data + value, value_end - value) < 0) {
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
    PyObject *lines = PyList_New(0);
    Py_ssize_t end = -1;
    if (lines != NULL) {
        end = start < 0 ? 0 : read_lines(lines, view.buf, view.len, start, most);
    }
    PyBuffer_Release(&view);
    PyObject *answer = NULL;
    if (end > 0) {
        answer = Py_BuildValue("(On)", lines, end);
    }
    else if (end == 0) {
        answer = Py_NewRef(Py_None);
    }
    Py_XDECREF(lines);
    return answer;
}

static PyMethodDef functions[] = {
    {"header_lines", (PyCFunction)(void (*)(void))header_lines, METH_FASTCALL,
     "header_lines(data, start, most): see gateway/native/__init__.py."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "gateway.native._heads",
    .m_doc = "The lines of a head, read in C.",
    .m_size = 0,
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__heads(void)
{
    return PyModuleDef_Init(&definition);
}
