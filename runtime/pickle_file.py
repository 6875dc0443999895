"""Reads pickles as data: files of weights and options may come from anybody.

pickle.Unpickler imports and calls any name in a file and reserves any size that it states; numpy's own objects accept
states that address raw memory. Here the caller maps each allowed name to a stand-in, and the size of the file bounds
memory and time. Opcodes: PEP 3154 and Lib/pickletools.py.
"""
import pickletools

OPERATIONS = 300_000    # opcodes of one pickle; a checkpoint of 1000 tensors has about 40,000
LINE = 4096             # bytes of a name or number in the text form of protocol 0
BITS = 128              # of an integer

PUSHED = {'BININT', 'BININT1', 'BININT2', 'INT', 'LONG', 'LONG1', 'LONG4', 'FLOAT', 'BINFLOAT', 'UNICODE', 'BINUNICODE',
          'SHORT_BINUNICODE', 'BINUNICODE8', 'STRING', 'SHORT_BINSTRING', 'BINSTRING', 'SHORT_BINBYTES', 'BINBYTES',
          'BINBYTES8', 'BYTEARRAY8'}
NEW = {'NONE': lambda: None, 'NEWTRUE': lambda: True, 'NEWFALSE': lambda: False, 'EMPTY_TUPLE': tuple,
       'EMPTY_LIST': list, 'EMPTY_DICT': dict}
# opcode -> number of operands that it pops; None: all above the last mark
POPPED = {'TUPLE': None, 'TUPLE1': 1, 'TUPLE2': 2, 'TUPLE3': 3, 'LIST': None, 'APPEND': 1, 'APPENDS': None,
          'DICT': None, 'SETITEM': 2, 'SETITEMS': None, 'STACK_GLOBAL': 2, 'REDUCE': 2, 'NEWOBJ': 2, 'BUILD': 1,
          'BINPERSID': 1, 'STOP': 1}


class Refused(ValueError):
    """The file is damaged, or has content that its kind never needs."""


class Source:
    """The open file that `load` reads, and the number of bytes left in it. No read reserves more than those."""

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
    """A function or class that the pickle names; its stand-in is called instead."""

    def __init__(self, stand_in):
        self.stand_in = stand_in


def load(source, names, persistent=None):
    """The next object of a Source: numbers, text, bytes, lists, tuples, dicts, and the results of stand-ins.

    names: (module, name) -> stand-in, called with the arguments of that name; a state goes to its result's `build`.
    persistent: stand-in for persistent ids. OrderedDict becomes dict. Refused for anything else, damage, or excess.
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

    def popped(count):
        start = marks.pop() if count is None else len(stack) - count
        operands = stack[start:]
        del stack[start:]
        return operands

    def ordered_dict(pairs=()):   # pairs: written by Python 2
        spend('operations', len(pairs))
        return _filled({}, [part for key, value in pairs for part in (key, value)])

    def encode(text, encoding):   # protocol 2 writes bytes so
        spend('bytes', len(text))
        if type(text) is not str or encoding not in ('latin1', 'latin-1'):
            raise Refused('damaged: bytes in another encoding than latin1')
        return text.encode('latin1')

    names = {**names, ('collections', 'OrderedDict'): ordered_dict, ('_codecs', 'encode'): encode,
             ('__builtin__', 'bytes'): lambda: b''}     # protocol 2 writes empty bytes so
    for opcode, argument, _ in pickletools.genops(source):
        spend('operations', 1)
        operation = opcode.name
        operands = popped(POPPED[operation]) if operation in POPPED else []
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
        elif operation.startswith('TUPLE'):
            stack.append(tuple(operands))
        elif operation == 'LIST':
            stack.append(operands)
        elif operation in ('APPEND', 'APPENDS'):
            if type(stack[-1]) is not list:
                raise Refused('damaged: entries without a list')
            stack[-1].extend(operands)
        elif operation == 'DICT':
            stack.append(_filled({}, operands))
        elif operation in ('SETITEM', 'SETITEMS'):
            _filled(stack[-1], operands)
        elif operation in ('GLOBAL', 'STACK_GLOBAL'):
            stack.append(_named(names, *(argument.split(' ', 1) if operation == 'GLOBAL' else operands)))
        elif operation in ('REDUCE', 'NEWOBJ'):
            called, arguments = operands
            if type(called) is not Name or type(arguments) is not tuple:
                raise Refused('damaged: a call without a name')
            stack.append(called.stand_in(*arguments))
        elif operation == 'BUILD':
            if type(stack[-1]) is not dict:   # attributes of an OrderedDict have no use here
                stack[-1].build(*operands)
        elif operation == 'BINPERSID' and persistent:
            stack.append(persistent(*operands))
        elif operation == 'STOP':
            return operands[0]
        elif operation not in ('PROTO', 'FRAME'):
            raise Refused(f'unsupported pickle opcode {operation}')


def _filled(target, items):
    """The dict `target` with the keys and values that alternate in `items`."""
    if type(target) is not dict or len(items) % 2:
        raise Refused('damaged: entries without a dict')
    for key, value in zip(items[::2], items[1::2]):
        # hashing other keys can take exponential time, and colliding integers quadratic
        if type(key) is not str and not (type(key) is int and key.bit_length() < 64):
            raise Refused(f'a dict with a key of type {type(key).__name__}')
        target[key] = value
    return target


def _named(names, module, name):
    if not type(module) is type(name) is str:
        raise Refused('damaged: a name that is not text')
    if (module, name) not in names:
        called = ascii(f'{module}.{name}')[1:-1]
        raise Refused(f'it would call {called:.100}, which no such file needs: do not trust it')
    return Name(names[module, name])
