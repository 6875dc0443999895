// What is saved: pictures and maps that dataset.check and predict.py take, projects and links. The browser keeps them.
import { words } from './i18n.js';
import { colourPng, greyPng, zip } from './png.js';
import { link, written } from './project.js';

const UNLABELLED = 255; // in a label file
const LONG_LINK = 30000; // characters

export async function saved(page, what) {
    const { model, map, styles, say } = page;
    if (what === 'picture') {
        download(await picture(page), `${page.name}.png`, 'image/png');
        return;
    }
    if (what === 'label') download(await labelFile(page), `${page.name}_label.png`, 'image/png');
    else if (what === 'instance') download(await instanceFile(page), `${page.name}_instance.png`, 'image/png');
    else if (what === 'all') {
        const files = { [`picture/${page.name}.png`]: await picture(page), [`label/${page.name}.png`]: await labelFile(page) };
        if (model.instances) files[`instance/${page.name}.png`] = await instanceFile(page);
        download(zip(files), `${page.name}.zip`, 'application/zip');
    } else {
        const text = await written(model, map, styles, page.name);
        if (what === 'project') download(text, `${page.name}.spade.json`, 'application/json');
        else await copy(await link(text), say);
    }
    map.markSaved();
}

async function picture({ map, view, follower }) {
    await follower.settled();
    return colourPng(map.width, map.height, view.shown);
}

// An id that stands for unlabelled and is no class is 255 in a file.
async function labelFile({ model, map }) {
    const isClass = model.classes.some((entry) => entry.id === model.label_nc);
    const ids = map.label.map((id) => id === model.label_nc && !isClass ? UNLABELLED : id);
    return greyPng(map.width, map.height, ids);
}

async function instanceFile({ map }) {
    return greyPng(map.width, map.height, map.instance);
}

function download(content, name, type) {
    const address = URL.createObjectURL(new Blob([content], { type }));
    const anchor = document.createElement('a');
    anchor.href = address;
    anchor.download = name;
    anchor.click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
}

async function copy(text, say) {
    const size = Math.ceil(text.length / 1024);
    try {
        await navigator.clipboard.writeText(text);
        say(words(text.length > LONG_LINK ? 'link-long' : 'link-copied', { size }));
    } catch { // without https only this machine's own pages may
        const area = document.getElementById('link-text');
        area.value = text;
        document.getElementById('link-dialog').showModal();
        area.select();
    }
}
