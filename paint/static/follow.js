// The picture follows the drawing: the newest request wins, and an older answer never replaces a newer one.
import { paint } from './api.js';

const AT_ONCE = 2; // requests: the one that is being painted, and the newest
const PAUSE = 60; // least milliseconds between two requests of one stroke

export class Follower extends EventTarget {
    constructor(model, map, style) {
        super();
        Object.assign(this, { model, map, style });
        this.sent = 0; // number of the newest request
        this.shown = 0; // and of the one whose picture is seen
        this.open = 0; // requests without an answer
        this.due = false; // something has changed since the newest
        this.waiting = [];
        this.lastSent = -Infinity;
        map.addEventListener('drawn', (event) => this.changed(event.detail.finished));
    }

    changed(finished = true) {
        this.due = true;
        this.failed = false;
        this.#next(finished);
    }

    #next(finished) {
        if (!this.due || this.failed) return;
        const pause = this.lastSent + PAUSE - performance.now();
        if (this.open >= (finished ? AT_ONCE : 1)) return; // an answer comes back here
        if (!finished && pause > 0) {
            this.timer ||= setTimeout(() => {
                this.timer = 0;
                this.#next(false);
            }, pause);
            return;
        }
        this.#send();
    }

    async #send() {
        const number = ++this.sent;
        const began = this.lastSent = performance.now();
        this.due = false;
        this.open++;
        this.#tell('painting');
        try {
            const answer = await paint(this.model, this.map.label.slice(), this.map.instance.slice(), this.style());
            if (number > this.shown) {
                this.shown = number;
                this.#tell('picture', { ...answer, milliseconds: performance.now() - began });
            }
        } catch (error) {
            if (error.code !== 'superseded' && number === this.sent) {
                this.failed = true;
                this.#tell('failed', { error });
            }
        }
        this.open--;
        this.#next(true);
        if (this.isSettled) {
            this.#tell('settled');
            this.waiting.splice(0).forEach((done) => done());
        }
    }

    get isSettled() {
        return !this.open && (!this.due || this.failed);
    }

    // Resolves when the picture is that of the map.
    async settled() {
        if (!this.isSettled) await new Promise((done) => this.waiting.push(done));
        if (this.failed) throw new Error('not painted');
    }

    #tell(name, detail) {
        this.dispatchEvent(new CustomEvent(name, { detail }));
    }
}
