// Styles: of a seed or a photo, a way between two, and a sheet of eight. Seeds alone for models with noise, without a style encoder.
import { paint, photoStyle } from './api.js';
import { onLanguage, translate, words } from './i18n.js';
import { base64, bytes } from './project.js';
import { rgba } from './view.js';

const SEEDS = 2 ** 31;
const SHEET = 8;
const THUMBNAIL = 96; // pixels

export class Styles extends EventTarget {
    // maps(): what a sheet paints.
    constructor(model, maps, say) {
        super();
        Object.assign(this, { model, maps, say });
        this.styles = [{ seed: model.seed }, null];
        this.share = 0.5;
        if (!model.seeds) return;
        this.panel = document.getElementById('styles');
        this.panel.hidden = false;
        this.slots = [...this.panel.querySelectorAll('.slot')];
        if (!model.styles) this.#ofNoise();
        this.slots.forEach((slot, place) => {
            slot.querySelector('[data-do=dice]').addEventListener('click', () => this.dice(place));
            slot.querySelector('input').addEventListener('change', (event) => {
                const [file] = event.target.files;
                event.target.value = '';
                if (file) this.photo(file, place);
            });
        });
        this.slider = document.getElementById('share');
        this.slider.addEventListener('input', () => {
            this.share = Number(this.slider.value) / 100;
            this.#tell();
        });
        this.#on('second', () => this.dice(1));
        this.#on('remove-second', () => this.#set(1, null));
        this.#on('sheet-open', () => this.#openSheet());
        this.#on('eight-more', () => this.#fillSheet(this.first + SHEET));
        this.sheet = document.getElementById('sheet-dialog');
        this.sheet.addEventListener('close', () => this.stop?.abort());
        onLanguage(() => this.#draw());
    }

    #ofNoise() {
        for (const hidden of this.panel.querySelectorAll('label, #second, .hint')) hidden.hidden = true;
        this.panel.querySelector('h2').dataset.words = 'noise';
        this.panel.querySelector('[data-do=dice]').dataset.name = 'dice-noise';
        document.querySelector('#sheet-dialog .hint').dataset.words = 'sheet-noise-hint';
        translate();
    }

    #on(name, act) {
        this.panel.ownerDocument.getElementById(name).addEventListener('click', act);
    }

    // What the server takes.
    get request() {
        const plain = ({ seed, z }) => z ? { z } : { seed };
        const [one, other] = this.styles;
        return other ? { between: [plain(one), plain(other)], share: this.share } : plain(one);
    }

    dice(place = 0) {
        if (this.model.seeds) this.#set(place, { seed: Math.floor(Math.random() * SEEDS) });
    }

    async photo(file, place = 0) {
        try {
            const { z, notes } = await photoStyle(this.model, file, `-style-${place}`);
            this.#set(place, { z, name: file.name, thumbnail: await thumbnail(file) });
            if (notes.length) this.say(notes.join('; '));
        } catch (error) {
            if (error.code !== 'superseded') this.say(error);
        }
    }

    // Dropped on the panel or the picture: one is the first style, two are both.
    photos(files) {
        files.slice(0, this.styles.length).forEach((file, place) => this.photo(file, place));
    }

    written() {
        if (!this.model.seeds) return null;
        const plain = (style) => style && (style.z ? { z: base64(new Uint8Array(new Float32Array(style.z).buffer)), name: style.name }
            : { seed: style.seed });
        return { styles: this.styles.map(plain), share: this.share };
    }

    // Of a project; whatever does not fit this model is left out.
    bring(written) {
        if (!this.model.seeds || !written) return;
        const plain = (style) => {
            if (Number.isSafeInteger(style?.seed) && style.seed >= 0) return { seed: style.seed };
            if (!this.model.styles) return null;
            try {
                const z = Array.from(new Float32Array(bytes(style.z).buffer));
                if (z.length === this.model.z_dim && z.every(Number.isFinite)) return { z, name: String(style.name || '').slice(0, 100) };
            } catch { /* no z */ }
            return null;
        };
        const found = Array.isArray(written.styles) ? written.styles.map(plain) : [];
        this.styles = [found[0] || { seed: this.model.seed }, found[1] || null];
        if (written.share >= 0 && written.share <= 1) this.share = written.share;
        this.#draw();
        this.#tell();
    }

    #set(place, style) {
        this.styles[place] = style;
        this.#draw();
        this.#tell();
    }

    #tell() {
        this.dispatchEvent(new Event('changed'));
    }

    #draw() {
        this.panel.dataset.second = String(Boolean(this.styles[1]));
        this.slider.value = Math.round(100 * this.share);
        this.slots.forEach((slot, place) => {
            const style = this.styles[place];
            slot.hidden = !style;
            if (!style) return;
            slot.querySelector('.what').textContent = style.z ? style.name : words('seed', { seed: style.seed });
            const shown = slot.querySelector('.thumbnail');
            shown.replaceChildren(...(style.thumbnail ? [style.thumbnail] : []));
            shown.classList.toggle('of-seed', !style.thumbnail);
        });
    }

    #openSheet() {
        this.sheet.showModal();
        this.#fillSheet(this.first ?? (this.styles[0].seed ?? this.model.seed));
    }

    // One after the other, apart from the drawing's own picture: the server lets both take turns.
    async #fillSheet(first) {
        this.stop?.abort();
        this.stop = new AbortController();
        const { signal } = this.stop;
        this.first = first;
        const maps = this.maps();
        const seeds = Array.from({ length: SHEET }, (_, n) => first + n);
        const cells = seeds.map((seed) => {
            const button = document.createElement('button');
            const canvas = document.createElement('canvas');
            canvas.width = maps.width;
            canvas.height = maps.height;
            const name = document.createElement('span');
            name.textContent = words('seed', { seed });
            button.type = 'button';
            button.append(canvas, name);
            button.addEventListener('click', () => {
                this.#set(0, { seed });
                this.sheet.close();
            });
            return button;
        });
        document.getElementById('sheet').replaceChildren(...cells);
        for (const [n, seed] of seeds.entries()) {
            try {
                const { pixels } = await paint(this.model, maps, { seed }, { purpose: '-sheet', signal });
                if (signal.aborted) return;
                cells[n].firstChild.getContext('2d').putImageData(rgba(pixels, maps.width, maps.height), 0, 0);
                cells[n].dataset.painted = 'true';
            } catch (error) {
                if (error.name !== 'AbortError' && error.code !== 'superseded') this.say(error);
                return;
            }
        }
    }
}

async function thumbnail(file) {
    const canvas = document.createElement('canvas');
    canvas.width = canvas.height = THUMBNAIL;
    try {
        const image = await createImageBitmap(file);
        const side = Math.min(image.width, image.height);
        canvas.getContext('2d').drawImage(image, (image.width - side) / 2, (image.height - side) / 2, side, side, 0, 0, THUMBNAIL, THUMBNAIL);
    } catch { /* the server can read it, this browser cannot */ }
    return canvas;
}
