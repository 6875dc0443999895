// Keyboard shortcuts, and their list.
import { onLanguage, words } from './i18n.js';
import { TOOLS } from './tools.js';

const element = (id) => document.getElementById(id);

export function listenToKeys({ map, view, palette, tools, styles, start, save, model }) {
    const letters = {
        ...Object.fromEntries(Object.entries(TOOLS).map(([name, key]) => [key, () => {
            if (name !== 'erase' || model.unlabelled !== null) tools.choose(name);
        }])),
        '[': () => palette.setSize(Math.min(palette.size - 1, palette.size / 1.2)),
        ']': () => palette.setSize(Math.max(palette.size + 1, palette.size * 1.2)),
        n: () => palette.newObject(),
        g: () => model.instances && element('edges').click(),
        d: () => styles.dice(),
        '/': () => element('search').focus(),
        '?': () => element('help-dialog').showModal(),
        '+': () => view.zoomTo(view.zoom.scale * 1.5),
        '=': () => view.zoomTo(view.zoom.scale * 1.5),
        '-': () => view.zoomTo(view.zoom.scale / 1.5),
        0: () => view.zoomTo(1),
        enter: () => tools.finish(),
        escape: () => tools.cancel(),
    };
    const withControl = {
        z: () => { if (tools.busy) tools.cancel(); else map.undo(); },
        y: () => map.redo(),
        s: () => save('project'),
        o: () => start.open(),
    };
    document.addEventListener('keydown', (event) => {
        if (event.altKey || document.querySelector('dialog[open]')) return;
        const typing = event.target.matches('input:not([type=range], [type=checkbox]), textarea, select');
        const key = event.key.toLowerCase();
        let act;
        if (event.ctrlKey || event.metaKey) act = key === 'z' && event.shiftKey ? withControl.y : withControl[key];
        else if (!typing) {
            const onButton = event.target.matches('button, summary, a') && (key === 'enter' || key === ' ');
            if (key === ' ' && !onButton) {
                tools.held = true;
                view.frame.dataset.held = 'true';
                event.preventDefault();
            }
            act = onButton && !tools.corners ? null : letters[key];
        }
        if (act) {
            event.preventDefault();
            act();
        }
    });
    document.addEventListener('keyup', (event) => {
        if (event.key === ' ') {
            tools.held = false;
            delete view.frame.dataset.held;
        }
    });
}

export function keysShown(model) {
    onLanguage(() => {
        const rows = [
            ...Object.entries(TOOLS).filter(([name]) => name !== 'erase' || model.unlabelled !== null)
                .map(([name, key]) => [[key.toUpperCase()], name]),
            [['[', ']'], 'key-size'], [['Ctrl+Z'], 'key-undo'], [['Ctrl+Shift+Z'], 'key-redo'], [['+', '−', '0'], 'key-zoom'],
            [[words('space')], 'key-move'], [['/'], 'key-search'],
            ...(model.instances ? [[['N'], 'key-object'], [['G'], 'key-edges']] : []),
            ...(model.seeds ? [[['D'], model.styles ? 'key-dice' : 'dice-noise']] : []),
            [['Shift'], 'key-shift'], [['Enter'], 'key-enter'], [['Esc'], 'key-escape'],
            [['Ctrl+S'], 'key-save'], [['Ctrl+O'], 'key-open'], [['?'], 'key-help'],
        ];
        element('keys').replaceChildren(...rows.flatMap(([keys, name]) => {
            const term = document.createElement('dt'), meaning = document.createElement('dd');
            term.append(...keys.map((key) => Object.assign(document.createElement('kbd'), { textContent: key })));
            meaning.textContent = words(name);
            return [term, meaning];
        }));
    });
}
