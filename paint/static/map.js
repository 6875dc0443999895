// A label map with its instance map, and their history.

const MOST_HISTORY = 128 << 20; // bytes; the oldest steps go first

export class LabelMap extends EventTarget {
    constructor(width, height) {
        super();
        this.width = width;
        this.height = height;
        this.label = new Uint16Array(width * height);
        this.instance = new Uint16Array(width * height);
        this.before = null; // while something is drawn: the maps as they were
        this.steps = [];
        this.undone = [];
        this.bytes = 0;
        this.saved = null; // the step after which nothing is unsaved
    }

    begin() {
        if (this.before) this.commit();
        this.before = { label: this.label.slice(), instance: this.instance.slice() };
    }

    // Take back what was drawn since begin(), and go on drawing.
    restore() {
        this.label.set(this.before.label);
        this.instance.set(this.before.instance);
    }

    cancel() {
        if (!this.before) return;
        this.restore();
        this.before = null;
        this.#tell('drawn', true);
    }

    // What was drawn since begin() becomes a step of the history; says whether it changed anything.
    commit() {
        const step = this.before && difference(this, this.before);
        this.before = null;
        if (step) {
            this.steps.push(step);
            this.undone = [];
            this.bytes += step.bytes;
            while (this.bytes > MOST_HISTORY && this.steps.length > 1) this.bytes -= this.steps.shift().bytes;
        }
        this.#tell('drawn', true);
        return Boolean(step);
    }

    drawing() {
        this.#tell('drawn', false);
    }

    // Other maps in their place, as one step.
    replace(label, instance) {
        this.begin();
        this.label.set(label);
        this.instance.set(instance);
        this.commit();
    }

    // Other maps, with nothing to undo.
    start(label, instance) {
        this.before = null;
        this.label.set(label);
        this.instance.set(instance);
        this.steps = [];
        this.undone = [];
        this.bytes = 0;
        this.markSaved();
        this.#tell('drawn', true);
    }

    undo() {
        this.cancel();
        const step = this.steps.pop();
        if (!step) return;
        this.undone.push(step);
        this.bytes -= step.bytes;
        this.#apply(step, step.before);
    }

    redo() {
        this.cancel();
        const step = this.undone.pop();
        if (!step) return;
        this.steps.push(step);
        this.bytes += step.bytes;
        this.#apply(step, step.after);
    }

    #apply(step, content) {
        for (const name of ['label', 'instance']) {
            for (let row = 0; row < step.height; row++) {
                const line = content[name].subarray(row * step.width, (row + 1) * step.width);
                this[name].set(line, (step.top + row) * this.width + step.left);
            }
        }
        this.#tell('drawn', true);
    }

    get unsaved() {
        return Boolean(this.before) || (this.steps.at(-1) || null) !== this.saved;
    }

    markSaved() {
        this.saved = this.steps.at(-1) || null;
        this.#tell('saved');
    }

    nextInstance(least) {
        let highest = least;
        for (const number of this.instance) if (number > highest) highest = number;
        return Math.min(highest + 1, 65535);
    }

    // Map of id -> pixels.
    counts() {
        const counts = new Map();
        for (const id of this.label) counts.set(id, (counts.get(id) || 0) + 1);
        return counts;
    }

    #tell(name, finished) {
        this.dispatchEvent(new CustomEvent(name, { detail: { finished } }));
    }
}

// The smallest rectangle that differs, with both contents; null if nothing does.
function difference(map, before) {
    let left = map.width, right = -1, top = map.height, bottom = -1;
    for (let index = 0; index < map.label.length; index++) {
        if (map.label[index] !== before.label[index] || map.instance[index] !== before.instance[index]) {
            const x = index % map.width, y = (index - x) / map.width;
            if (x < left) left = x;
            if (x > right) right = x;
            if (y < top) top = y;
            bottom = y;
        }
    }
    if (right < 0) return null;
    const width = right - left + 1, height = bottom - top + 1;
    const cut = (values) => {
        const part = new Uint16Array(width * height);
        for (let row = 0; row < height; row++) {
            const start = (top + row) * map.width + left;
            part.set(values.subarray(start, start + width), row * width);
        }
        return part;
    };
    return {
        left, top, width, height, bytes: 8 * width * height,
        before: { label: cut(before.label), instance: cut(before.instance) },
        after: { label: cut(map.label), instance: cut(map.instance) },
    };
}
