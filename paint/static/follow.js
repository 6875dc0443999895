// The picture follows the drawing: the newest request wins, and an older answer never replaces a newer one.
// Where the whole picture takes long, one of fewer pixels follows the pen, and the whole one when it is lifted.
import { paint } from './api.js';
import { scaled } from './map.js';

const AT_ONCE = 2; // requests: the one that is being painted, and the newest
const PAUSE = 60; // least milliseconds between two requests of one stroke
const QUICK = 500; // milliseconds of a picture that follows the pen

export class Follower extends EventTarget {
    constructor(model, map, style) {
        super();
        Object.assign(this, { model, map, style });
        this.sent = 0; // number of the newest request
        this.shown = 0; // and of the one whose picture is seen
        this.open = 0; // requests without an answer
        this.slow = 0; // and those of them that a newer one ends
        this.rough = false; // the newest has fewer pixels than the map
        this.perPixel = 0; // milliseconds of painting
        this.due = false; // something has changed since the newest
        this.waiting = [];
        this.lastSent = -Infinity;
        map.addEventListener('drawn', (event) => this.changed(event.detail.finished));
    }

    changed(finished = true) {
        this.due = true;
        this.lifted = finished;
        this.failed = false;
        this.#next(finished);
    }

    #next(finished) {
        if (!this.due || this.failed) return;
        const pause = this.lastSent + PAUSE - performance.now();
        if (this.open >= (finished || this.slow ? AT_ONCE : 1)) return; // an answer comes back here
        if (!finished && pause > 0) {
            this.timer ||= setTimeout(() => {
                this.timer = 0;
                this.#next(false);
            }, pause);
            return;
        }
        this.#send(this.lifted ? 1 : this.reduction);
    }

    // How many times fewer rows and columns a picture has that is painted quickly.
    get reduction() {
        const { width, height } = this.map;
        let factor = 1;
        while (this.perPixel * width * height > QUICK * factor ** 2 && Math.min(width, height) >= 2 * factor * this.model.multiple) factor *= 2;
        return this.model.any_size ? factor : 1;
    }

    // What is painted: the maps with so many times fewer rows and columns.
    maps(factor) {
        const { width, height } = this.map;
        return scaled(this.map, { width: Math.ceil(width / factor), height: Math.ceil(height / factor) });
    }

    async #send(factor) {
        const number = ++this.sent;
        const began = this.lastSent = performance.now();
        this.due = false;
        this.rough = factor > 1;
        this.open++;
        const giveUp = factor === 1 && this.reduction > 1;
        this.slow += giveUp;
        this.#tell('painting');
        try {
            const answer = await paint(this.model, this.maps(factor), this.style(), { giveUp });
            const { width, height, painting } = answer;
            if (painting && factor === 1) this.perPixel = painting / (width * height);
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
        this.slow -= giveUp;
        this.#next(true);
        if (this.isSettled) {
            this.#tell('settled');
            this.waiting.splice(0).forEach((done) => done());
        }
    }

    get isSettled() {
        return !this.open && (!this.due && !this.rough || this.failed);
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
