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
        this.colours = new Uint32Array(65536).fill(0xff000000);
        for (const { id, colour: [red, green, blue] } of model.classes) {
            this.colours[id] = (0xff000000 | blue << 16 | green << 8 | red) >>> 0;
        }
        this.context = this.canvas.getContext('2d', { alpha: false, willReadFrequently: true });
        this.shown = null;
        this.#fit();
        map.addEventListener('resized', () => this.#fit());
        map.addEventListener('drawn', () => this.draw());
        new ResizeObserver(() => this.#resized()).observe(this.frame);
        this.#resized();
    }

    #fit() {
        const { width, height } = this.map;
        for (const canvas of [this.canvas, this.picture]) Object.assign(canvas, { width, height });
        document.documentElement.style.setProperty('--ratio', width / height);
        this.image = this.context.createImageData(width, height);
        this.words = new Uint32Array(this.image.data.buffer);
    }

    // Label maps change many times between two frames of the screen.
    draw() {
        this.waiting ||= requestAnimationFrame(() => {
            this.waiting = 0;
            paintColours(this.map, this.colours, this.words);
            this.context.putImageData(this.image, 0, 0);
            this.borders = this.edges ? borders(this.map) : null;
            this.overlay(this.drawn);
        });
    }

    // Drawn larger where it has fewer pixels than the map.
    showPicture({ pixels, width, height }) {
        this.shown = pixels;
        const context = this.picture.getContext('2d', { alpha: false, willReadFrequently: true });
        const image = rgba(pixels, width, height);
        if (width === this.map.width && height === this.map.height) {
            context.putImageData(image, 0, 0);
            return;
        }
        const small = new OffscreenCanvas(width, height);
        small.getContext('2d').putImageData(image, 0, 0);
        context.imageSmoothingQuality = 'high';
        context.drawImage(small, 0, 0, this.map.width, this.map.height);
    }

    // Where on the map an event is, in pixels of the map, fractions included.
    place(event) {
        const box = this.frame.getBoundingClientRect();
        const { scale, x, y } = this.zoom;
        return [(event.clientX - box.left - x) / scale / box.width * this.map.width,
            (event.clientY - box.top - y) / scale / box.height * this.map.height];
    }

    // Pixels of the screen that one of the map takes.
    get pixel() {
        return this.frame.clientWidth / this.map.width * this.zoom.scale;
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
        if (this.borders) { // thin at any zoom
            context.save();
            context.translate(this.zoom.x, this.zoom.y);
            context.scale(this.pixel, this.pixel);
            for (const [colour, width] of [['rgba(0, 0, 0, 0.7)', 3], ['#fff', 1]]) {
                context.strokeStyle = colour;
                context.lineWidth = width / this.pixel;
                context.stroke(this.borders);
            }
            context.restore();
        }
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

// Colours of the classes into words.
export function paintColours({ label }, colours, words) {
    for (let index = 0; index < label.length; index++) words[index] = colours[label[index]];
}

// Lines between pixels of different instances, in pixels of the map.
function borders({ width, height, instance }) {
    const path = new Path2D();
    for (let y = 0, index = 0; y < height; y++) {
        for (let x = 0; x < width; x++, index++) {
            if (x + 1 < width && instance[index] !== instance[index + 1]) {
                path.moveTo(x + 1, y);
                path.lineTo(x + 1, y + 1);
            }
            if (y + 1 < height && instance[index] !== instance[index + width]) {
                path.moveTo(x, y + 1);
                path.lineTo(x + 1, y + 1);
            }
        }
    }
    return path;
}
