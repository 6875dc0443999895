"""One thread for the work of many pages: each page has one place in the queue, and pages take turns."""
import threading
from collections import OrderedDict, namedtuple
from concurrent.futures import Future

MOST_WAITING = 64   # places in the queue

Job = namedtuple('Job', 'number work future')


class Superseded(Exception):
    """A newer request of the same page has replaced this one."""


class Busy(Exception):
    """Too many pages are waiting."""


class Turns:
    """submit(page, number, work) -> Future of work().

    A page that submits again while it waits keeps its place, with the newer work; the older one's Future raises
    Superseded. Work that is done or forgotten leaves nothing behind.
    """

    def __init__(self):
        self.waiting = OrderedDict()    # page -> Job, in the order of turns
        self.changed = threading.Condition()
        threading.Thread(target=self._run, name='painter', daemon=True).start()

    def submit(self, page, number, work):
        job = Job(number, work, Future())
        with self.changed:
            older = self.waiting.get(page)
            if older and older.number > number:
                raise Superseded
            if older is None and len(self.waiting) >= MOST_WAITING:
                raise Busy
            self.waiting[page] = job
            self.changed.notify()
        if older and older.future.set_running_or_notify_cancel():
            older.future.set_exception(Superseded())
        return job.future

    def overtaken(self, page, number):
        """Whether newer work of the page waits."""
        with self.changed:
            job = self.waiting.get(page)
            return bool(job and job.number > number)

    def forget(self, page, future):
        """Drop the work of `future` if it has not begun, since the page has disconnected."""
        with self.changed:
            job = self.waiting.get(page)
            if job and job.future is future:
                del self.waiting[page]

    def _run(self):
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.waiting)
                _, job = self.waiting.popitem(last=False)
            if not job.future.set_running_or_notify_cancel():
                continue
            try:
                result = job.work()
            except BaseException as error:
                job.future.set_exception(error)
            else:
                job.future.set_result(result)
            del job
