// What a painting begins with: a validation map, a canvas of one class, a file, a project.
import { openMaps, validationMap } from './api.js';
import { onLanguage, words } from './i18n.js';
import { read } from './project.js';
import { paintColours } from './view.js';

const AT_ONCE = 24; // thumbnails
const element = (id) => document.getElementById(id);

export class StartDialog {
    constructor(page) {
        this.page = page;
        this.dialog = element('start-dialog');
        this.shown = 0;
        element('start-more').addEventListener('click', () => this.#more());
        element('start-empty').addEventListener('click', () => {
            this.fill(Number(element('start-class').value));
            this.#done('painting');
        });
        const label = element('label-file'), instance = element('instance-file'), project = element('project-file');
        element('instance-row').hidden = !page.model.instances;
        for (const input of [label, instance, project]) input.addEventListener('change', () => this.#names());
        label.addEventListener('change', () => { element('start-open').disabled = !label.files.length; });
        element('start-open').addEventListener('click', () => this.openFiles(label.files[0], instance.files[0]));
        project.addEventListener('change', () => project.files[0] && this.openProject(project.files[0]));
        this.dialog.addEventListener('click', (event) => { // beside it
            if (event.target === this.dialog) this.dialog.close();
        });
        onLanguage(() => {
            this.#classes();
            this.#names();
        });
    }

    open() {
        for (const id of ['label-file', 'instance-file', 'project-file']) element(id).value = '';
        element('start-open').disabled = true;
        this.#names();
        this.dialog.showModal();
        if (!this.shown) this.#more();
    }

    fill(id) {
        const { map } = this.page;
        map.replace({ label: map.label.slice().fill(id), instance: map.instance.slice().fill(id) });
    }

    async openFiles(label, instance) {
        try {
            const found = await openMaps(this.page.model, label, this.page.model.instances ? instance : undefined);
            this.page.map.replace(found);
            this.#done(label.name.replace(/\.[^.]*$/, ''));
            if (found.notes.length) this.page.say(found.notes.join('; '));
        } catch (error) {
            this.#wrong(error);
        }
    }

    async openProject(file) {
        try {
            const found = await read(await file.text(), this.page.model);
            this.page.bring(found);
            this.#done(found.name || 'painting');
        } catch (error) {
            this.#wrong(error);
        }
    }

    #done(name) {
        this.page.name = name;
        this.dialog.close();
        element('message').hidden = true;
    }

    // A dialog lies above the message: close it, so that the sentence is seen.
    #wrong(error) {
        this.dialog.close();
        this.page.say(error);
    }

    #classes() {
        const { model, palette } = this.page;
        const select = element('start-class');
        const before = select.value;
        select.replaceChildren(...[...palette.byId.keys()].map((id) => new Option(palette.nameOf(id), id)));
        select.value = before || String(model.classes[0].id);
    }

    #names() {
        for (const id of ['label-file', 'instance-file', 'project-file']) {
            const input = element(id);
            input.parentElement.querySelector('em').textContent = input.files[0]?.name || words('no-file');
        }
    }

    #more() {
        const { model } = this.page;
        const list = element('start-maps');
        if (!model.maps.length) {
            list.textContent = words('start-none');
            return;
        }
        const end = Math.min(model.maps.length, this.shown + AT_ONCE);
        for (; this.shown < end; this.shown++) list.append(this.#thumbnail(this.shown));
        element('start-more').hidden = this.shown >= model.maps.length;
    }

    #thumbnail(index) {
        const { model, map, view } = this.page;
        const button = document.createElement('button');
        const canvas = document.createElement('canvas');
        button.type = 'button';
        button.title = model.maps[index];
        button.setAttribute('aria-label', model.maps[index]);
        const name = document.createElement('span');
        name.textContent = model.maps[index];
        button.append(canvas, name);
        const found = validationMap(index);
        found.then((maps) => {
            const { width, height } = maps;
            Object.assign(canvas, { width, height });
            canvas.style.aspectRatio = width / height;
            const context = canvas.getContext('2d');
            const image = context.createImageData(maps.width, maps.height);
            paintColours(maps, view.colours, new Uint32Array(image.data.buffer));
            context.putImageData(image, 0, 0);
        }, (error) => this.#wrong(error));
        button.addEventListener('click', async () => {
            try {
                const { width, height } = map;
                const maps = await found;
                const asItIs = model.own_sizes || width === maps.width && height === maps.height;
                map.replace(asItIs ? maps : await validationMap(index, { width, height }));
                this.#done(model.maps[index]);
            } catch (error) {
                this.#wrong(error);
            }
        });
        return button;
    }
}
