// Pixels of shapes on a grid of width x height: each function calls put(index) for them. Points are [x, y] in pixels.

export function line(width, height, [x0, y0], [x1, y1], size, put) {
    const radius = size / 2;
    const left = Math.max(0, Math.floor(Math.min(x0, x1) - radius)), right = Math.min(width - 1, Math.ceil(Math.max(x0, x1) + radius));
    const top = Math.max(0, Math.floor(Math.min(y0, y1) - radius)), bottom = Math.min(height - 1, Math.ceil(Math.max(y0, y1) + radius));
    const dx = x1 - x0, dy = y1 - y0, length = dx * dx + dy * dy;
    const reach = Math.max(radius, 0.5) ** 2;
    for (let y = top; y <= bottom; y++) {
        for (let x = left; x <= right; x++) {
            const px = x + 0.5 - x0, py = y + 0.5 - y0;
            const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
            const ax = px - along * dx, ay = py - along * dy;
            if (ax * ax + ay * ay <= reach) put(y * width + x);
        }
    }
    if (size <= 1) { // a thin point between pixel centres must not vanish
        const x = Math.floor(x1), y = Math.floor(y1);
        if (x >= 0 && y >= 0 && x < width && y < height) put(y * width + x);
    }
}

export function rectangle(width, height, [x0, y0], [x1, y1], put) {
    polygon(width, height, [[x0, y0], [x1, y0], [x1, y1], [x0, y1]], put);
}

export function ellipse(width, height, [x0, y0], [x1, y1], put) {
    const cx = (x0 + x1) / 2, cy = (y0 + y1) / 2, rx = Math.abs(x1 - x0) / 2, ry = Math.abs(y1 - y0) / 2;
    for (let y = Math.max(0, Math.floor(cy - ry)); y < Math.min(height, cy + ry); y++) {
        for (let x = Math.max(0, Math.floor(cx - rx)); x < Math.min(width, cx + rx); x++) {
            if (((x + 0.5 - cx) / rx) ** 2 + ((y + 0.5 - cy) / ry) ** 2 <= 1) put(y * width + x);
        }
    }
}

// Even-odd; a pixel counts where its centre is inside.
export function polygon(width, height, points, put) {
    for (let y = 0; y < height; y++) {
        const crossings = [];
        for (let n = 0; n < points.length; n++) {
            const [x0, y0] = points[n], [x1, y1] = points[(n + 1) % points.length];
            if ((y0 <= y + 0.5) !== (y1 <= y + 0.5)) crossings.push(x0 + (y + 0.5 - y0) / (y1 - y0) * (x1 - x0));
        }
        crossings.sort((a, b) => a - b);
        for (let n = 0; n + 1 < crossings.length; n += 2) {
            const end = Math.min(width, Math.ceil(crossings[n + 1] - 0.5));
            for (let x = Math.max(0, Math.ceil(crossings[n] - 0.5)); x < end; x++) put(y * width + x);
        }
    }
}

// The region of one class and one instance around a pixel, by its four neighbours.
export function region(map, start, put) {
    const { width, label, instance } = map;
    const id = label[start], number = instance[start];
    const seen = new Uint8Array(label.length), waiting = [start];
    seen[start] = 1;
    const found = [];
    while (waiting.length) {
        const index = waiting.pop(), x = index % width;
        found.push(index);
        for (const next of [x > 0 ? index - 1 : -1, x < width - 1 ? index + 1 : -1, index - width, index + width]) {
            if (next >= 0 && next < label.length && !seen[next] && label[next] === id && instance[next] === number) {
                seen[next] = 1;
                waiting.push(next);
            }
        }
    }
    found.forEach(put);
}
