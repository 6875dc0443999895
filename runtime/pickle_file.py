"""Pickles read as data: files of weights and options, which may come from anybody.

pickle.Unpickler imports and calls what a file names, and reserves what sizes and numbers in it ask for; numpy's own
objects take states from it that address raw memory. Here a name stands for what the caller gives for it, and memory and
time are bounded by the size of the file. Opcodes: PEP 3154 and Lib/pickletools.py.
"""
import pickletools

OPERATIONS = 300_000    # opcodes of one pickle; a checkpoint of 1000 tensors has about 40,000
LINE = 4096             # bytes of an opcode that is a line of text: a name or number of protocol 0
BITS = 128              # of a whole number

PUSHED = {'BININT', 'BININT1', 'BININT2', 'INT', 'LONG', 'LONG1', 'LONG4', 'FLOAT', 'BINFLOAT', 'UNICODE',
          'SHORT_BINUNICODE',
          'BINUNICODE', 'BINUNICODE8', 'STRING', 'SHORT_BINSTRING', 'BINSTRING', 'SHORT_BINBYTES', 'BINBYTES',
          'BINBYTES8', 'BYTEARRAY8'}
NEW = {'NONE': lambda: None, 'NEWTRUE': lambda: True, 'NEWFALSE': lambda: False, 'EMPTY_TUPLE': tuple,
       'EMPTY_LIST': list, 'EMPTY_DICT': dict}
TUPLES = {'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3}


class Refused(ValueError):
    """The file is damaged, or holds what such a file does not need."""


class Source:
    """What `load` reads from: an open file, and how many bytes of it are left. No read reserves more than those."""

    def __init__(self, file, size):
        self.file, self.size, self.left = file, size, size

    def read(self, count):
        data = self.file.read(max(0, min(count, self.left)))
        self.left -= len(data)
        return data

    def readline(self):
        data = self.file.readline(LINE)
        self.left -= len(data)
        return data


class Name:
    """A name in the pickle, and what stands for it."""

    def __init__(self, stand_in):
        self.stand_in = stand_in


def load(source, names, persistent=None):
    """The object of the pickle where `source` stands:
    numbers, texts, bytes, lists, tuples, dicts and what `names` make of them.

    names: dict of (module, name) -> its stand-in: called with the arguments of a call there, its result's `build` with
    the state.
    persistent: the same for a persistent id. OrderedDict is a dict. Refused for anything else, any damage, and too much
    of it.
    """
    try:
        return _load(source, names, persistent)
    except Refused:
        raise
    except (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as error:
        raise Refused(f'damaged: {type(error).__name__}: {str(error):.200}') from None


def _load(source, names, persistent):
    stack, marks, memo, left = [], [], {}, {'operations': OPERATIONS, 'bytes': source.size}

    def spend(kind, count):
        left[kind] -= count
        if left[kind] < 0:
            raise Refused(f'it would make more {kind} than a file of its size needs')

    def since_mark():
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    def fill(target, items):
        if type(target) is not dict or len(items) % 2:
            raise Refused('damaged: entries of no dict')
        for key, value in zip(items[::2], items[1::2]):
            # other keys may take exponential time to hash, or as long as there are keys to find
            if type(key) is not str and not (type(key) is int and key.bit_length() < 64):
                raise Refused(f'a dict with a {type(key).__name__} for a name')
            target[key] = value

    def ordered_dict(pairs=()):   # with pairs: as Python 2 wrote it
        spend('operations', len(pairs))
        found = {}
        for key, value in pairs:
            fill(found, [key, value])
        return found

    def encode(text, encoding):   # how protocol 2 writes bytes
        spend('bytes', len(text))
        if type(text) is not str or encoding not in ('latin1', 'latin-1'):
            raise Refused('damaged: bytes in another encoding than latin1')
        return text.encode('latin1')

    def named(module, name):
        if (module, name) not in names:
            raise Refused(f'it would call {ascii(f"{module}.{name}")[1:-1]:.100}, which no such file needs: do not '
                          'trust it')
        return Name(names[module, name])

    names = {**names, ('collections', 'OrderedDict'): ordered_dict, ('_codecs', 'encode'): encode,
             ('__builtin__', 'bytes'): lambda: b''}     # so does protocol 2 with none
    for opcode, argument, _ in pickletools.genops(source):
        spend('operations', 1)
        operation = opcode.name
        if operation in PUSHED:
            if type(argument) is int and argument.bit_length() > BITS:
                raise Refused(f'a number of more than {BITS} bits')
            stack.append(argument)
        elif operation in NEW:
            stack.append(NEW[operation]())
        elif operation == 'MARK':
            marks.append(len(stack))
        elif operation in ('MEMOIZE', 'BINPUT', 'LONG_BINPUT', 'PUT'):
            memo[len(memo) if operation == 'MEMOIZE' else argument] = stack[-1]
        elif operation in ('BINGET', 'LONG_BINGET', 'GET'):
            stack.append(memo[argument])
        elif operation in TUPLES:
            items = tuple(stack[-TUPLES[operation]:])
            del stack[-TUPLES[operation]:]
            stack.append(items)
        elif operation == 'TUPLE':
            stack.append(tuple(since_mark()))
        elif operation == 'LIST':
            stack.append(since_mark())
        elif operation in ('APPEND', 'APPENDS'):
            items = since_mark() if operation == 'APPENDS' else [stack.pop()]
            if type(stack[-1]) is not list:
                raise Refused('damaged: entries of no list')
            stack[-1].extend(items)
        elif operation == 'DICT':
            items = since_mark()
            stack.append({})
            fill(stack[-1], items)
        elif operation in ('SETITEM', 'SETITEMS'):
            items = since_mark() if operation == 'SETITEMS' else [stack.pop(), stack.pop()][::-1]
            fill(stack[-1], items)
        elif operation == 'GLOBAL':
            stack.append(named(*argument.split(' ', 1)))
        elif operation == 'STACK_GLOBAL':
            name, module = stack.pop(), stack.pop()
            if not type(name) is type(module) is str:
                raise Refused('damaged: a name that is no text')
            stack.append(named(module, name))
        elif operation in ('REDUCE', 'NEWOBJ'):
            arguments, called = stack.pop(), stack.pop()
            if type(called) is not Name or type(arguments) is not tuple:
                raise Refused('damaged: a call of no name')
            stack.append(called.stand_in(*arguments))
        elif operation == 'BUILD':
            state = stack.pop()
            if type(stack[-1]) is not dict:   # attributes of an OrderedDict are of no use here
                stack[-1].build(state)
        elif operation == 'BINPERSID' and persistent:
            stack.append(persistent(stack.pop()))
        elif operation == 'STOP':
            return stack.pop()
        elif operation not in ('PROTO', 'FRAME'):
            raise Refused(f'it has the opcode {operation}, which no such file needs')
