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
        if (step) this.#keep(step);
        this.#tell('drawn', true);
        return Boolean(step);
    }

    drawing() {
        this.#tell('drawn', false);
    }

    // Other maps in their place, perhaps of another size, as one step; which is no work to be saved, if there was none before.
    replace({ label, instance, width = this.width, height = this.height }) {
        const { unsaved } = this;
        if (width === this.width && height === this.height) {
            this.begin();
            this.label.set(label);
            this.instance.set(instance);
            this.commit();
        } else {
            if (this.before) this.commit();
            const before = this.#whole();
            this.#become({ label, instance, width, height });
            this.#keep({ before, after: this.#whole(), bytes: 4 * (before.label.length + label.length) });
            this.#tell('drawn', true);
        }
        if (!unsaved) this.markSaved();
    }

    #whole() {
        return { label: this.label.slice(), instance: this.instance.slice(), width: this.width, height: this.height };
    }

    #become({ label, instance, width, height }) {
        const resized = width !== this.width || height !== this.height;
        Object.assign(this, { width, height, label: label.slice(), instance: instance.slice() });
        if (resized) this.#tell('resized');
    }

    #keep(step) {
        this.steps.push(step);
        this.undone = [];
        this.bytes += step.bytes;
        while (this.bytes > MOST_HISTORY && this.steps.length > 1) this.bytes -= this.steps.shift().bytes;
    }

    // Other maps, with nothing to undo.
    start(maps) {
        this.before = null;
        this.#become({ width: this.width, height: this.height, ...maps });
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
        if (content.width) this.#become(content);
        else for (const name of ['label', 'instance']) {
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

// Values of a map, by the nearest pixel at another size.
export function resized(values, from, to) {
    if (from.width === to.width && from.height === to.height) return values;
    const result = new Uint16Array(to.width * to.height);
    for (let y = 0, index = 0; y < to.height; y++) {
        const row = Math.floor((y + 0.5) * from.height / to.height) * from.width;
        for (let x = 0; x < to.width; x++, index++) result[index] = values[row + Math.floor((x + 0.5) * from.width / to.width)];
    }
    return result;
}

// Both maps at another size.
export function scaled(maps, { width, height }) {
    const [label, instance] = [maps.label, maps.instance].map((values) => resized(values, maps, { width, height }));
    return { label, instance, width, height };
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
