// What brings a painting back: maps, style and seed in a project file or in a link.
import { scaled } from './map.js';
import { packed, unpacked } from './png.js';

const FORMAT = 'spade-paint', VERSION = 1;
const MOST_BYTES = 64 << 20;

export async function written(model, map, style, name) {
    const maps = new Uint8Array(new Uint16Array([...map.label, ...map.instance]).buffer);
    return JSON.stringify({
        format: FORMAT, version: VERSION, name, width: map.width, height: map.height, label_nc: model.label_nc,
        maps: base64(await packed(maps)), style: style.written(),
    });
}

// -> { label, instance, width, height, style, name } for this model; an Error whose message is a key of i18n otherwise.
export async function read(text, model) {
    let project;
    try {
        project = JSON.parse(text);
    } catch {
        throw new Error('project-damaged');
    }
    if (project?.format !== FORMAT || project.version !== VERSION) throw new Error('project-damaged');
    const { width, height } = project;
    if (![width, height].every((side) => Number.isInteger(side) && side > 0 && side <= 4096)) throw new Error('project-damaged');
    if (project.label_nc !== model.label_nc) throw new Error('project-other-model');
    let values;
    try {
        values = new Uint16Array((await unpacked(bytes(project.maps), 4 * width * height)).buffer);
    } catch {
        throw new Error('project-damaged');
    }
    if (values.length !== 2 * width * height) throw new Error('project-damaged');
    const label = values.slice(0, width * height);
    if (label.some((id) => id > model.highest)) throw new Error('project-other-model');
    const maps = { label, instance: values.slice(width * height), width, height };
    return {
        ...(fits(model, maps) ? maps : scaled(maps, model)), style: project.style, name: typeof project.name === 'string' ? project.name.slice(0, 100) : '',
    };
}

export async function link(text) {
    return `${location.origin}${location.pathname}#${base64(await packed(new TextEncoder().encode(text)))}`;
}

export async function ofLink(hash) {
    try {
        return new TextDecoder().decode(await unpacked(bytes(hash.replace(/^#/, '')), MOST_BYTES));
    } catch {
        throw new Error('project-damaged');
    }
}

// Whether the model paints a canvas of that size here.
export function fits(model, { width, height }) {
    return model.any_size && Math.max(width, height) <= model.most_side && width * height <= model.largest;
}

export function base64(content) {
    let text = '';
    for (let start = 0; start < content.length; start += 8192) text += String.fromCharCode(...content.subarray(start, start + 8192));
    return btoa(text).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

export function bytes(text) {
    return Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (letter) => letter.charCodeAt(0));
}
