// Requests to the server. A body is a line of JSON and then bytes; an answer of maps is uint16, label map first.

export class Refusal extends Error {
    constructor(code, text, facts = {}) {
        super(text);
        this.code = code;
        this.facts = facts;
    }
}

export const PAGE = Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(16)).join('');

let requests = 0;

async function ask(path, head, parts, signal) {
    const options = { signal };
    if (head) {
        options.method = 'POST';
        options.body = new Blob([`${JSON.stringify(head)}\n`, ...parts]);
    }
    let answer;
    try {
        answer = await fetch(path, options);
    } catch (error) {
        if (error.name === 'AbortError') throw error;
        throw new Refusal('offline', 'the server does not answer');
    }
    if (answer.status === 204) throw new Refusal('superseded', 'a newer request has taken the place of this one');
    if (answer.ok) return answer;
    let content = {};
    try {
        content = await answer.json();
    } catch { /* not ours: a proxy's, say */ }
    throw new Refusal(content.error || 'failed', content.text || `status ${answer.status}`, content.facts || {});
}

async function maps(answer) {
    const [height, width] = answer.headers.get('Size').split('x').map(Number);
    const values = new Uint16Array(await answer.arrayBuffer());
    const pixels = width * height;
    return { label: values.slice(0, pixels), instance: values.slice(pixels), width, height };
}

export async function describeModel() {
    return (await ask('/model')).json();
}

// size: { width, height }; without one that of the first canvas, or the map's own.
export async function validationMap(index, size) {
    return maps(await ask(`/maps/${index}${size ? `?width=${size.width}&height=${size.height}` : ''}`));
}

// The maps, and `notes`: what was done to the files to read them, in English.
export async function openMaps(model, label, instance) {
    if (label.size + (instance ? instance.size : 0) > model.largest_file) {
        throw new Refusal('body', 'too large', { most: Math.round(model.largest_file / 2 ** 20) });
    }
    const answer = await ask('/open', { label: label.size }, instance ? [label, instance] : [label]);
    return { ...await maps(answer), notes: JSON.parse(decodeURIComponent(answer.headers.get('Notes'))) };
}

// `purpose` keeps the photos of two styles apart: a newer one for the same place ends an older one that waits.
export async function photoStyle(model, file, purpose) {
    if (file.size > model.largest_file) {
        throw new Refusal('body', 'too large', { most: Math.round(model.largest_file / 2 ** 20) });
    }
    const answer = await ask('/style', { page: PAGE + purpose, number: ++requests }, [file]);
    return answer.json(); // { z, notes }
}

// maps: { label, instance, width, height } -> { pixels: RGB, width, height, painting: milliseconds in the server }.
// `purpose` keeps pictures of a sheet apart from those of the drawing; giveUp: a newer request ends the painting of this one.
export async function paint(model, maps, style, { purpose = '', signal, giveUp = false } = {}) {
    const { label, instance, width, height } = maps;
    const head = { page: PAGE + purpose, number: ++requests, style, width, height, give_up: giveUp };
    const answer = await ask('/paint', head, model.instances ? [label, instance] : [label], signal);
    const timing = /paint;dur=([\d.]+)/.exec(answer.headers.get('Server-Timing') || '');
    return { pixels: new Uint8Array(await answer.arrayBuffer()), width, height, painting: timing ? Number(timing[1]) : NaN };
}
