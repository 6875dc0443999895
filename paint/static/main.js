// The page: what its parts do with each other.
import * as api from './api.js';
import { Follower } from './follow.js';
import { saved } from './files.js';
import { onLanguage, switchLanguage, translate, words, wordsOf } from './i18n.js';
import { listenToKeys, keysShown } from './keys.js';
import { LabelMap } from './map.js';
import { Palette, swatch } from './palette.js';
import { CanvasDialog } from './canvas.js';
import * as project from './project.js';
import { StartDialog } from './start.js';
import { Styles } from './styles.js';
import { TOOLS, Tools } from './tools.js';
import { View } from './view.js';

const element = (id) => document.getElementById(id);

async function begin() {
    translate();
    element('language').addEventListener('click', switchLanguage);
    if (!('CompressionStream' in window)) throw new Error('too-old');
    const model = await api.describeModel();
    const map = new LabelMap(model.width, model.height);
    const view = new View(model, map);
    const palette = new Palette(model, map, model.classes[0].id);
    const tools = new Tools(view, map, palette, model.unlabelled);
    const styles = new Styles(model, () => follower.maps(follower.reduction), say);
    const follower = new Follower(model, map, () => styles.request);
    const page = { model, map, view, palette, tools, styles, follower, say, name: 'painting' };
    page.start = new StartDialog(page);
    new CanvasDialog(page);
    page.bring = (found) => bring(page, found);
    page.save = (what) => saved(page, what).catch(say);

    showModel(model, map);
    showTools(page);
    showSettings(page);
    showPicture(page);
    listenToFiles(page);
    listenToKeys(page);
    keysShown(model);
    styles.addEventListener('changed', () => follower.changed());
    window.addEventListener('beforeunload', (event) => {
        if (map.unsaved) event.preventDefault();
    });
    await firstMap(page);
    tools.choose('brush');
    // A button that the mouse has pressed must not take the space bar, which moves the view.
    document.addEventListener('click', (event) => event.detail && event.target.closest('#dock button, header button')?.blur());
    window.addEventListener('hashchange', () => openLink(page));
    document.body.dataset.ready = 'true';
}

// A link brings its painting; else the first validation map, or a canvas of one class.
async function firstMap(page) {
    const { model, map, start } = page;
    if (location.hash.length > 1 && await openLink(page)) return;
    try {
        if (model.maps.length) {
            map.start(await api.validationMap(0));
            page.name = model.maps[0];
        }
    } catch (error) {
        say(error);
    }
    if (page.name === 'painting') start.fill(model.classes[0].id);
    page.palette.choose(mostCommon(map, model));
}

function mostCommon(map, model) {
    const [id] = [...map.counts()].filter(([id]) => id !== model.unlabelled).sort((one, other) => other[1] - one[1])[0] || [0];
    return id;
}

async function openLink(page) {
    try {
        const found = await project.read(await project.ofLink(location.hash), page.model);
        bring(page, found);
        page.name = found.name || 'painting';
        history.replaceState(null, '', location.pathname);
        return true;
    } catch (error) {
        say(error);
        return false;
    }
}

function bring({ map, styles }, found) {
    map.replace(found);
    map.markSaved();
    styles.bring(found.style);
}

// ---- What is shown

// An Error, or words; it goes by itself unless something is wrong.
function say(what) {
    const box = element('message');
    const wrong = what instanceof Error;
    box.querySelector('p').textContent = wrong ? wordsOf(what) : what;
    box.classList.toggle('wrong', wrong);
    box.hidden = false;
    clearTimeout(say.timer);
    if (!wrong) say.timer = setTimeout(() => { box.hidden = true; }, 4000);
}
element('message').querySelector('button').addEventListener('click', () => { element('message').hidden = true; });

function showModel(model, map) {
    const show = () => {
        const parts = [model.run, model.epoch === null ? '' : words('epoch', { epoch: model.epoch }),
            `${map.width} × ${map.height}`, words('class-count', { count: model.classes.filter(({ id }) => id !== model.unlabelled).length })];
        element('about-model').textContent = parts.filter(Boolean).join(' · ');
    };
    onLanguage(show);
    map.addEventListener('resized', show);
    element('objects').hidden = document.querySelector('.check').hidden = !model.instances;
    document.querySelector('[data-save=instance]').hidden = !model.instances;
}

function showTools({ model, map, tools, view }) {
    const names = Object.keys(TOOLS).filter((name) => name !== 'erase' || model.unlabelled !== null);
    const buttons = names.map((name) => {
        const button = document.createElement('button');
        button.type = 'button';
        button.className = 'icon';
        button.dataset.tool = button.dataset.name = name;
        button.dataset.key = TOOLS[name].toUpperCase();
        button.innerHTML = `<svg><use href="#i-${name}"/></svg>`;
        button.addEventListener('click', () => tools.choose(name));
        return button;
    });
    element('tools').append(...buttons);
    translate(element('tools'));
    const show = () => {
        for (const button of buttons) button.setAttribute('aria-pressed', String(button.dataset.tool === tools.tool));
        const ofPolygon = tools.tool === 'polygon';
        element('map-hint').textContent = words(ofPolygon ? 'polygon-hint' : 'map-hint');
        element('done').hidden = !(tools.corners?.length > 2);
        element('map-hint').hidden = !element('done').hidden;
    };
    tools.changed = show;
    onLanguage(show);
    element('done').addEventListener('click', () => tools.finish());
    element('undo').addEventListener('click', () => undo(tools, map));
    element('redo').addEventListener('click', () => map.redo());
    const showHistory = () => {
        element('undo').disabled = !map.steps.length && !map.before;
        element('redo').disabled = !map.undone.length;
    };
    map.addEventListener('drawn', showHistory);
    showHistory();
    element('edges').addEventListener('change', (event) => {
        view.edges = event.target.checked;
        view.draw();
    });
}

function undo(tools, map) {
    if (tools.busy) tools.cancel();
    else map.undo();
}

function showSettings({ map, palette }) {
    const size = element('size'), current = element('current');
    size.addEventListener('input', () => palette.setSize(Number(size.value)));
    current.addEventListener('click', () => openPalette(!document.body.classList.contains('palette-open')));
    element('new-object').addEventListener('click', () => palette.newObject());
    const show = () => {
        size.max = Math.round(Math.min(map.width, map.height) / 2);
        size.value = palette.size;
        element('size-shown').textContent = palette.size;
        const name = document.createElement('span');
        name.className = 'name';
        name.textContent = palette.nameOf(palette.id) + (palette.object ? ` · ${palette.object}` : '');
        current.replaceChildren(swatch(palette.entry.colour), name);
        element('new-object').disabled = !palette.canHaveObjects;
        element('object').textContent = !palette.canHaveObjects ? words('stuff')
            : palette.object ? words('object', { number: palette.object }) : words('one-object');
    };
    palette.addEventListener('chosen', show);
    onLanguage(show);
    // On a narrow screen the palette lies over the map until a class is chosen.
    const openPalette = (open) => {
        document.body.classList.toggle('palette-open', open);
        current.setAttribute('aria-expanded', String(open));
    };
    element('class-list').addEventListener('click', (event) => event.target.closest('button') && openPalette(false));
    element('stage').addEventListener('pointerdown', () => openPalette(false), true);
}

function showPicture({ view, follower }) {
    const status = element('status');
    let last = null;
    const show = () => {
        document.body.dataset.painting = String(!follower.isSettled);
        if (!last) status.textContent = words('painting');
        else if (last.error) status.textContent = '';
        else {
            const [all, model] = [last.milliseconds, last.painting].map((value) => (value / 1000).toFixed(2));
            status.textContent = `${words('painted', { seconds: all })} ${Number.isNaN(last.painting) ? '' : words('painted-model', { model })}`;
        }
    };
    for (const name of ['painting', 'settled']) follower.addEventListener(name, show);
    follower.addEventListener('picture', ({ detail }) => {
        last = detail;
        view.showPicture(detail);
        element('picture').dataset.shown = follower.shown;
        if (element('message').classList.contains('of-picture')) element('message').hidden = true;
        element('message').classList.remove('of-picture');
        show();
    });
    follower.addEventListener('failed', ({ detail }) => {
        last = detail;
        say(detail.error);
        element('message').classList.add('of-picture');
        show();
    });
    onLanguage(show);
}

// ---- Files that are dropped, and the menu

function listenToFiles(page) {
    const menu = element('save-menu');
    menu.addEventListener('click', (event) => {
        const what = event.target.dataset?.save;
        if (!what) return;
        menu.open = false;
        page.save(what);
    });
    document.addEventListener('pointerdown', (event) => {
        if (!menu.contains(event.target)) menu.open = false;
    });
    element('new').addEventListener('click', () => page.start.open());
    element('help').addEventListener('click', () => element('help-dialog').showModal());
    let over = 0;
    const dragging = (change) => {
        over = Math.max(0, over + change);
        document.body.classList.toggle('dragging', over > 0);
    };
    document.addEventListener('dragenter', (event) => {
        if (event.dataTransfer.types.includes('Files')) dragging(1);
    });
    document.addEventListener('dragleave', (event) => {
        if (event.dataTransfer.types.includes('Files')) dragging(-1);
    });
    document.addEventListener('dragover', (event) => event.preventDefault());
    document.addEventListener('drop', (event) => {
        event.preventDefault();
        over = 0;
        dragging(0);
        const files = [...event.dataTransfer.files];
        if (files.length) dropped(page, files, event.target.closest('#picture-frame, #styles'), event.target.closest('.slot'));
    });
}

function dropped(page, files, onPicture, slot) {
    const [file] = files;
    if (/\.json$/i.test(file.name)) page.start.openProject(file);
    else if (onPicture || /jpe?g|webp/.test(file.type)) {
        if (!page.model.styles) say(words('no-style-here'));
        else if (slot) page.styles.photo(file, page.styles.slots.indexOf(slot));
        else page.styles.photos(files);
    } else page.start.openFiles(file, files[1]);
}

begin().catch((error) => {
    say(error);
    document.body.dataset.ready = 'failed';
});
