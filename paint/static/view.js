// The two squares: the label map in colours and the picture, one zoom for both, and a layer above the map for what is being drawn.

const LARGEST_ZOOM = 16;

export class View {
    constructor(model, map) {
        this.model = model;
        this.map = map;
        this.edges = false;
        this.zoom = { scale: 1, x: 0, y: 0 }; // x and y in pixels of the screen
        this.frame = document.getElementById('map-frame');
        this.canvas = document.getElementById('map');
        this.picture = document.getElementById('picture');
        this.layer = document.getElementById('layer');
        for (const canvas of [this.canvas, this.picture]) {
            canvas.width = model.width;
            canvas.height = model.height;
        }
        document.documentElement.style.setProperty('--ratio', model.width / model.height);
        this.colours = new Uint32Array(65536).fill(0xff000000);
        for (const { id, colour: [red, green, blue] } of model.classes) {
            this.colours[id] = (0xff000000 | blue << 16 | green << 8 | red) >>> 0;
        }
        this.context = this.canvas.getContext('2d', { alpha: false, willReadFrequently: true });
        this.image = this.context.createImageData(model.width, model.height);
        this.words = new Uint32Array(this.image.data.buffer);
        this.shown = null;
        map.addEventListener('drawn', () => this.draw());
        new ResizeObserver(() => this.#resized()).observe(this.frame);
        this.#resized();
    }

    // Label maps change many times between two frames of the screen.
    draw() {
        this.waiting ||= requestAnimationFrame(() => {
            this.waiting = 0;
            paintColours(this.map, this.colours, this.words, this.edges);
            this.context.putImageData(this.image, 0, 0);
        });
    }

    showPicture(pixels) {
        this.shown = pixels;
        const context = this.picture.getContext('2d', { alpha: false, willReadFrequently: true });
        context.putImageData(rgba(pixels, this.model.width, this.model.height), 0, 0);
    }

    // Where on the map an event is, in pixels of the map, fractions included.
    place(event) {
        const box = this.frame.getBoundingClientRect();
        const { scale, x, y } = this.zoom;
        return [(event.clientX - box.left - x) / scale / box.width * this.model.width,
            (event.clientY - box.top - y) / scale / box.height * this.model.height];
    }

    // Pixels of the screen that one of the map takes.
    get pixel() {
        return this.frame.clientWidth / this.model.width * this.zoom.scale;
    }

    zoomTo(scale, clientX, clientY) {
        const box = this.frame.getBoundingClientRect();
        const cx = clientX === undefined ? box.width / 2 : clientX - box.left;
        const cy = clientY === undefined ? box.height / 2 : clientY - box.top;
        const before = this.zoom;
        const next = Math.min(LARGEST_ZOOM, Math.max(1, scale));
        const ratio = next / before.scale;
        this.#setZoom(next, cx - (cx - before.x) * ratio, cy - (cy - before.y) * ratio);
    }

    move(dx, dy) {
        this.#setZoom(this.zoom.scale, this.zoom.x + dx, this.zoom.y + dy);
    }

    #setZoom(scale, x, y) {
        const { width, height } = this.frame.getBoundingClientRect();
        this.zoom = { scale, x: Math.min(0, Math.max(width * (1 - scale), x)), y: Math.min(0, Math.max(height * (1 - scale), y)) };
        for (const canvas of [this.canvas, this.picture]) {
            canvas.style.transform = scale === 1 ? '' : `translate(${this.zoom.x}px, ${this.zoom.y}px) scale(${scale})`;
        }
        const shown = document.getElementById('zoom');
        shown.textContent = `${Math.round(scale * 100)} %`;
        shown.hidden = scale === 1;
        this.overlay(this.drawn);
    }

    #resized() {
        const ratio = window.devicePixelRatio || 1;
        this.layer.width = Math.round(this.frame.clientWidth * ratio);
        this.layer.height = Math.round(this.frame.clientHeight * ratio);
        this.#setZoom(this.zoom.scale, this.zoom.x, this.zoom.y);
    }

    // cursor: { at, size } or null; points: corners of a polygon that is being drawn.
    overlay(drawn = {}) {
        this.drawn = drawn;
        const context = this.layer.getContext('2d');
        const ratio = window.devicePixelRatio || 1;
        context.setTransform(ratio, 0, 0, ratio, 0, 0);
        context.clearRect(0, 0, this.layer.width, this.layer.height);
        const on = ([x, y]) => [x * this.pixel + this.zoom.x, y * this.pixel + this.zoom.y];
        const strokes = (path) => { // seen on any colour
            for (const [colour, width] of [['rgba(0, 0, 0, 0.65)', 3], ['#fff', 1.25]]) {
                context.strokeStyle = colour;
                context.lineWidth = width;
                context.stroke(path);
            }
        };
        if (drawn.cursor) {
            const path = new Path2D();
            const [x, y] = on(drawn.cursor.at);
            path.arc(x, y, Math.max(2, drawn.cursor.size / 2 * this.pixel), 0, 7);
            strokes(path);
        }
        if (drawn.points) {
            const path = new Path2D();
            drawn.points.map(on).forEach(([x, y], n) => {
                path.moveTo(x + (n ? 3 : 6), y);
                path.arc(x, y, n ? 3 : 6, 0, 7);
            });
            strokes(path);
        }
    }
}

export function rgba(pixels, width, height) {
    const image = new ImageData(width, height);
    const words = new Uint32Array(image.data.buffer);
    for (let index = 0, at = 0; index < words.length; index++, at += 3) {
        words[index] = 0xff000000 | pixels[at + 2] << 16 | pixels[at + 1] << 8 | pixels[at];
    }
    return image;
}

// Colours of the classes into words; edges: white or black where a pixel's right or lower neighbour belongs to another instance.
export function paintColours({ width, label, instance }, colours, words, edges) {
    for (let index = 0; index < label.length; index++) words[index] = colours[label[index]];
    if (!edges) return;
    for (let index = 0; index < label.length; index++) {
        const right = (index + 1) % width && instance[index] !== instance[index + 1];
        if (right || (index + width < label.length && instance[index] !== instance[index + width])) {
            const word = words[index];
            const light = (word & 255) * 3 + (word >> 8 & 255) * 6 + (word >> 16 & 255);
            words[index] = light > 1400 ? 0xff202020 : 0xffffffff;
        }
    }
}
