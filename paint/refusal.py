"""What a request is refused with: a status, a code that the page translates with its facts, and the same in English."""


class Refused(Exception):
    def __init__(self, code, text, status=422, **facts):
        super().__init__(text)
        self.code, self.text, self.status, self.facts = code, text, status, facts

    def content(self):
        return {'error': self.code, 'text': self.text, 'facts': self.facts}
