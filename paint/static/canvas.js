// The size of the canvas, for models that paint any.
import { words, onLanguage } from './i18n.js';
import { scaled } from './map.js';
import { fits } from './project.js';

const WIDTHS = [256, 512, 1024, 2048];
const element = (id) => document.getElementById(id);

export class CanvasDialog {
    constructor({ model, map, tools, say }) {
        Object.assign(this, { model, map, tools, say });
        this.dialog = element('canvas-dialog');
        this.button = element('canvas-size');
        this.button.hidden = !model.any_size;
        if (!model.any_size) return;
        this.sides = [element('canvas-width'), element('canvas-height')];
        this.sides.forEach((side) => Object.assign(side, { min: 1, max: model.most_side }));
        this.button.addEventListener('click', () => this.open());
        element('canvas-use').addEventListener('click', () => this.#use(...this.sides.map((side) => Math.round(Number(side.value)))));
        map.addEventListener('resized', () => this.#show());
        onLanguage(() => this.#show());
    }

    open() {
        this.tools.finish();
        const { model, map } = this;
        const widths = [...new Set([model.width, ...WIDTHS])].sort((one, other) => one - other);
        const sizes = widths.map((width) => ({ width, height: Math.round(width * model.height / model.width) }));
        element('canvas-presets').replaceChildren(...sizes.filter((size) => fits(model, size)).map(({ width, height }) => {
            const button = Object.assign(document.createElement('button'), { type: 'button', textContent: `${width} × ${height}` });
            button.setAttribute('aria-pressed', String(width === map.width && height === map.height));
            button.addEventListener('click', () => this.#use(width, height));
            return button;
        }));
        [this.sides[0].value, this.sides[1].value] = [map.width, map.height];
        this.dialog.showModal();
    }

    #use(width, height) {
        this.dialog.close();
        if (!(width > 0 && height > 0 && fits(this.model, { width, height }))) {
            this.say(Object.assign(new Error(), { code: 'canvas', facts: this.#limits }));
            return;
        }
        this.map.replace(scaled(this.map, { width, height }));
    }

    #show() {
        this.button.textContent = `${this.map.width} × ${this.map.height}`;
        element('canvas-hint').textContent = words('canvas-hint', this.#limits);
    }

    get #limits() {
        const { largest, most_side: side } = this.model;
        return { most: (largest / 1e6).toFixed(largest < 1e6 ? 2 : 1), side };
    }
}
