// What the pointer does on the label map: mouse, pen and touch; two fingers zoom and move.
import * as shapes from './shapes.js';

export const TOOLS = { brush: 'b', line: 'l', rectangle: 'r', ellipse: 'e', polygon: 'p', fill: 'f', pick: 'i', erase: 'x', move: 'h' };
const NEAR = 12; // pixels of the screen: a click this close to the first corner closes a polygon

export class Tools {
    // brush: { id, number, size } of what is drawn, and pick(id, number).
    constructor(view, map, brush, unlabelled) {
        Object.assign(this, { view, map, brush, unlabelled });
        this.tool = 'brush';
        this.pointers = new Map();
        this.stroke = null; // { start, last } while the button is down
        this.corners = null; // of a polygon
        this.changed = () => {};
        const frame = view.frame;
        frame.addEventListener('pointerdown', (event) => this.#down(event));
        frame.addEventListener('pointermove', (event) => this.#move(event));
        for (const name of ['pointerup', 'pointercancel']) frame.addEventListener(name, (event) => this.#up(event));
        frame.addEventListener('pointerleave', () => this.#show(null));
        frame.addEventListener('dblclick', () => this.finish());
        frame.addEventListener('contextmenu', (event) => event.preventDefault());
        for (const element of [frame, document.getElementById('picture-frame')]) {
            element.addEventListener('wheel', (event) => {
                event.preventDefault();
                view.zoomTo(view.zoom.scale * Math.exp(-event.deltaY / 400), event.clientX, event.clientY);
            }, { passive: false });
        }
    }

    choose(tool) {
        this.finish();
        this.tool = tool;
        this.view.frame.dataset.tool = tool;
        this.#show(null);
        this.changed();
    }

    get #erases() {
        return this.tool === 'erase';
    }

    #put() {
        const { map } = this;
        const id = this.#erases ? this.unlabelled : this.brush.id;
        const number = this.#erases ? this.unlabelled : this.brush.number;
        return (index) => {
            map.label[index] = id;
            map.instance[index] = number;
        };
    }

    // Redo, or another map in this one's place, may have ended what was being drawn.
    #notice() {
        if (!this.map.before) this.stroke = this.corners = null;
    }

    #down(event) {
        this.#notice();
        this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
        try {
            this.view.frame.setPointerCapture(event.pointerId);
        } catch { /* the pointer has gone already */ }
        if (this.pointers.size === 2) { // a stroke that began with the first of two fingers was none
            if (this.stroke && !this.corners) this.map.cancel();
            this.stroke = null;
            this.panning = false;
            return;
        }
        if (this.pointers.size > 2) return;
        const at = this.view.place(event);
        if (event.button === 1 || this.tool === 'move' || this.held) {
            this.panning = true;
        } else if (event.button === 0) {
            this.#begin(at, event);
        }
        event.preventDefault();
    }

    #begin(at, event) {
        const { map } = this;
        const [x, y] = at.map(Math.floor);
        const inside = x >= 0 && y >= 0 && x < map.width && y < map.height;
        const index = y * map.width + x;
        if (this.tool === 'pick') {
            if (inside) this.brush.pick(map.label[index], map.instance[index]);
        } else if (this.tool === 'fill') {
            if (!inside) return;
            map.begin();
            shapes.region(map, index, this.#put());
            map.commit();
        } else if (this.tool === 'polygon') {
            this.#corner(at);
        } else {
            map.begin();
            this.stroke = { start: at, last: at };
            this.#draw(at, event);
        }
    }

    #corner(at) {
        if (!this.corners) {
            this.map.begin();
            this.corners = [];
        }
        const first = this.corners[0];
        if (first && this.corners.length > 2 && Math.hypot(at[0] - first[0], at[1] - first[1]) * this.view.pixel < NEAR) {
            this.finish();
            return;
        }
        const last = this.corners.at(-1);
        if (!last || Math.hypot(at[0] - last[0], at[1] - last[1]) * this.view.pixel > 2) this.corners.push(at);
        this.#drawPolygon(at);
        this.changed();
    }

    #move(event) {
        this.#notice();
        const before = this.pointers.get(event.pointerId);
        if (before) this.pointers.set(event.pointerId, [event.clientX, event.clientY]);
        if (before && this.pointers.size === 2) {
            const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
            const distance = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
            const now = [event.clientX, event.clientY];
            this.view.zoomTo(this.view.zoom.scale * distance(now) / distance(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
            this.view.move((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
        } else if (before && this.panning) {
            this.view.move(event.clientX - before[0], event.clientY - before[1]);
        } else if (this.stroke) {
            // The screen's frames are fewer than the pen's reports.
            const events = event.getCoalescedEvents?.() || [];
            for (const part of events.length ? events : [event]) this.#draw(this.view.place(part), part);
        } else if (this.corners) {
            this.#drawPolygon(this.view.place(event));
        }
        if (event.pointerType !== 'touch') this.#show(this.view.place(event));
    }

    #draw(at, event) {
        const { map, stroke } = this;
        const { width, height } = map;
        const put = this.#put();
        let end = at;
        if (event.shiftKey && this.tool !== 'brush' && this.tool !== 'erase') end = straight(stroke.start, at, this.tool);
        if (this.tool === 'brush' || this.tool === 'erase') {
            shapes.line(width, height, stroke.last, at, this.brush.size, put);
        } else {
            map.restore();
            if (this.tool === 'line') shapes.line(width, height, stroke.start, end, this.brush.size, put);
            else shapes[this.tool](width, height, stroke.start, end, put);
        }
        stroke.last = at;
        map.drawing();
    }

    #drawPolygon(at) {
        const { map, corners } = this;
        map.restore();
        const points = at ? [...corners, at] : corners;
        if (points.length > 2) shapes.polygon(map.width, map.height, points, this.#put());
        map.drawing();
        this.view.overlay({ points: corners });
    }

    #up(event) {
        this.pointers.delete(event.pointerId);
        this.panning = false;
        if (this.stroke) {
            this.stroke = null;
            this.map.commit();
        }
        if (event.pointerType === 'touch') this.#show(null);
    }

    // A polygon becomes a step of the history.
    finish() {
        this.#notice();
        if (!this.corners) return;
        this.#drawPolygon(null);
        this.corners = null;
        this.map.commit();
        this.#show(null);
        this.changed();
    }

    // Whatever is being drawn never was.
    cancel() {
        this.stroke = this.corners = null;
        this.map.cancel();
        this.#show(null);
        this.changed();
    }

    get busy() {
        this.#notice();
        return Boolean(this.stroke || this.corners);
    }

    #show(at) {
        const sized = ['brush', 'line', 'erase'].includes(this.tool);
        this.view.overlay({ cursor: at && sized ? { at, size: this.brush.size } : null, points: this.corners });
    }
}

// Shift: a line in steps of 45 degrees, a square or a circle.
function straight(start, at, tool) {
    const dx = at[0] - start[0], dy = at[1] - start[1];
    if (tool === 'line') {
        const angle = Math.round(Math.atan2(dy, dx) / (Math.PI / 4)) * (Math.PI / 4), length = Math.hypot(dx, dy);
        return [start[0] + length * Math.cos(angle), start[1] + length * Math.sin(angle)];
    }
    const side = Math.max(Math.abs(dx), Math.abs(dy));
    return [start[0] + Math.sign(dx) * side, start[1] + Math.sign(dy) * side];
}
