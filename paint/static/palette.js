// The classes of the model: those in the map first, found by typing; and the class, object and size that is drawn with.
import { onLanguage, words } from './i18n.js';

export class Palette extends EventTarget {
    constructor(model, map, begin) {
        super();
        Object.assign(this, { model, map });
        this.id = begin;
        this.number = begin;
        this.size = Math.max(2, Math.round(Math.min(model.width, model.height) / 10));
        let side = Math.min(map.width, map.height);
        map.addEventListener('resized', () => {
            const now = Math.min(map.width, map.height);
            this.setSize(this.size * now / side);
            side = now;
        });
        this.byId = new Map(model.classes.map((entry) => [entry.id, entry]));
        if (!this.byId.has(model.unlabelled) && model.unlabelled !== null) {
            this.byId.set(model.unlabelled, { id: model.unlabelled, colour: [0, 0, 0], name: null, thing: false });
        }
        this.list = document.getElementById('class-list');
        this.search = document.getElementById('search');
        this.shares = '';
        this.search.addEventListener('input', () => this.#draw());
        this.search.addEventListener('keydown', (event) => {
            if (event.key === 'Enter') this.list.querySelector('button')?.click();
            if (event.key === 'Escape') {
                this.search.value = '';
                this.#draw();
                this.search.blur();
            }
        });
        this.list.addEventListener('click', (event) => {
            const button = event.target.closest('button');
            if (button) this.choose(Number(button.dataset.id));
        });
        map.addEventListener('drawn', (event) => event.detail.finished && this.#drawIfNew());
        onLanguage(() => {
            this.#draw();
            this.#tell();
        });
    }

    nameOf(id) {
        return this.byId.get(id)?.name ?? words('unlabelled');
    }

    get entry() {
        return this.byId.get(this.id);
    }

    get canHaveObjects() {
        return this.model.instances && this.entry.thing !== false;
    }

    choose(id) {
        this.id = this.number = id;
        this.#mark();
        this.#tell();
    }

    // From the map: its class, and the object that it is.
    pick(id, number) {
        this.id = id;
        this.number = number;
        this.#mark();
        this.#tell();
    }

    newObject() {
        if (!this.canHaveObjects) return;
        this.number = this.map.nextInstance(Math.max(this.model.label_nc, this.newest || 0));
        this.newest = this.number;
        this.#tell();
    }

    // Objects are shown as 1, 2, ... from the first number that no class has.
    get object() {
        return this.number > this.model.label_nc ? this.number - this.model.label_nc : null;
    }

    setSize(size) {
        this.size = Math.max(1, Math.round(Math.min(size, this.map.width / 2, this.map.height / 2)));
        this.#tell();
    }

    #tell() {
        this.dispatchEvent(new Event('chosen'));
    }

    #drawIfNew() {
        const shares = JSON.stringify(this.#shares());
        if (shares !== this.shares) this.#draw();
    }

    // [[id, percent], ...] of the classes in the map, most first.
    #shares() {
        const counts = [...this.map.counts()].sort((one, other) => other[1] - one[1]);
        return counts.map(([id, count]) => [id, Math.round(100 * count / this.map.label.length)]);
    }

    #draw() {
        const shares = this.#shares();
        this.shares = JSON.stringify(shares);
        const wanted = this.search.value.trim().toLowerCase();
        const fits = (id) => this.nameOf(id).toLowerCase().includes(wanted) || String(id) === wanted;
        const here = new Map(shares.filter(([id]) => this.byId.has(id)));
        const above = [...here.keys()].filter(fits);
        const below = [...this.byId.keys()].filter((id) => !here.has(id) && fits(id));
        below.sort((one, other) => this.nameOf(one).toLowerCase().startsWith(wanted) ? (this.nameOf(other).toLowerCase().startsWith(wanted) ? 0 : -1)
            : this.nameOf(other).toLowerCase().startsWith(wanted) ? 1 : 0);
        const parts = [];
        for (const [title, ids] of [['in-map', above], ['all', below]]) {
            if (!ids.length) continue;
            const heading = document.createElement('h3');
            heading.textContent = words(title);
            parts.push(heading, ...ids.map((id) => this.#button(id, here.get(id))));
        }
        if (!parts.length) {
            const nothing = document.createElement('p');
            nothing.textContent = words('none');
            parts.push(nothing);
        }
        this.list.replaceChildren(...parts);
        this.#mark();
    }

    #button(id, share) {
        const button = document.createElement('button');
        button.type = 'button';
        button.dataset.id = id;
        const name = document.createElement('span');
        name.textContent = this.nameOf(id);
        name.className = 'name';
        button.title = `${this.nameOf(id)} · ${id}`;
        button.append(swatch(this.byId.get(id).colour), name);
        if (share !== undefined) {
            const part = document.createElement('span');
            part.className = 'share';
            part.textContent = share ? `${share} %` : '< 1 %';
            button.append(part);
        }
        return button;
    }

    #mark() {
        for (const button of this.list.querySelectorAll('button')) {
            button.setAttribute('aria-pressed', String(Number(button.dataset.id) === this.id));
        }
    }
}

export function swatch(colour) {
    const element = document.createElement('i');
    element.className = 'swatch';
    element.style.backgroundColor = `rgb(${colour.join(' ')})`;
    return element;
}
